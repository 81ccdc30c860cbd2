import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Program } from "./servers.ts";
import { kafka } from "./probe.ts";
import { findProgram } from "./programs.ts";

/** No package of Kafka is in Debian; its jars are on Maven Central, and one Java starts them without Kafka's scripts. */
const version = "4.1.1";
const slf4j = "1.7.36";
const heap = "768m";
const cluster = "d2F5YmlsbC10ZXN0cw-01A";

const jars = join(import.meta.dirname, "../../.cache", `kafka-${version}`);

/** Debian packages without which Kafka can be neither fetched nor run. */
export function missingForKafka(): readonly string[] {
  return [
    ...(findProgram("java") === undefined ? ["openjdk-17-jre-headless"] : []),
    ...(existsSync(jars) || findProgram("mvn") !== undefined ? [] : ["maven"]),
  ];
}

/** What a server of a test's own has beside: listeners, users, rights. Written into its folder before it is formatted. */
const moreProperties = "more.properties";

/** Of these, users that log in by SCRAM, a line each: `SCRAM-SHA-256=[name=alice,password=secret]`. */
const moreUsers = "scram.txt";

/**
 * One broker that is its own controller (KRaft), formatted when it is new; undefined while its jars or Java are missing. Its controller listens on the
 * port behind its own.
 */
export function kafkaPrograms(
  directory: string,
  port: number = kafka.port,
): readonly Program[] | undefined {
  const java = findProgram("java");
  if (java === undefined || !existsSync(jars)) return undefined;
  const config = join(directory, "server.properties");
  const data = join(directory, "data");
  const more = join(directory, moreProperties);
  const said = existsSync(more) ? readFileSync(more, "utf8") : listeners(port);
  writeFileSync(config, `${properties(data, port)}${said}`);
  const run = ["-cp", join(jars, "*"), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"];
  if (!existsSync(join(data, "meta.properties")))
    execFileSync(java, [...run, ...formatting(config), ...scramUsers(join(directory, moreUsers))], {
      stdio: ["ignore", "ignore", "inherit"],
    });
  return [{ command: java, args: [`-Xmx${heap}`, ...run, "kafka.Kafka", config] }];
}

/** Lets Maven copy Kafka and what it depends on into the checkout's cache. All of it or nothing is there afterwards. */
export function fetchKafka(): void {
  const maven = findProgram("mvn");
  if (maven === undefined) throw new Error("Maven (`mvn`) is not installed.");
  const partial = `${jars}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  const pom = join(partial, "pom.xml");
  writeFileSync(pom, project);
  execFileSync(
    maven,
    ["-q", "-B", "-f", pom, "dependency:copy-dependencies", `-DoutputDirectory=${partial}`],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  if (!readdirSync(partial).includes(`kafka_2.13-${version}.jar`))
    throw new Error(`Maven copied no Kafka ${version} to ${partial}.`);
  renameSync(partial, jars);
}

function formatting(config: string): readonly string[] {
  return ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", config];
}

function scramUsers(file: string): readonly string[] {
  if (!existsSync(file)) return [];
  const users = readFileSync(file, "utf8").split("\n");
  return users.flatMap((user) => (user === "" ? [] : ["--add-scram", user]));
}

function listeners(port: number): string {
  return [
    `listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${port + 1}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:${port}`,
    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "",
  ].join("\n");
}

function properties(data: string, port: number): string {
  const one = ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"];
  return [
    "process.roles=broker,controller",
    "node.id=1",
    "controller.listener.names=CONTROLLER",
    `controller.quorum.voters=1@127.0.0.1:${port + 1}`,
    ...one.flatMap((topic) => [`${topic}.replication.factor=1`, `${topic}.num.partitions=4`]),
    "transaction.state.log.min.isr=1",
    "share.coordinator.state.topic.min.isr=1",
    "group.initial.rebalance.delay.ms=0",
    // A test that expects a topic must have declared it.
    "auto.create.topics.enable=false",
    `log.dirs=${data}`,
    "",
  ].join("\n");
}

const project = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dev.waybill</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${version}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>${slf4j}</version></dependency>
  </dependencies>
</project>
`;
