import { execFileSync } from "node:child_process";
import { chownSync, existsSync, globSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canInstall, install } from "../debian.ts";
import { fetchKafka, kafkaPrograms, missingForKafka } from "./kafka.ts";
import { type Greeting, kafka, nats, postgres, probe, rabbitmq, redis } from "./probe.ts";
import { findProgram } from "./programs.ts";

/** A server that adapters are tested against. */
export interface Server {
  readonly name: string;
  readonly greeting: Greeting;
  /** Brings its program to this machine; throws, or says what is missing, when it cannot. */
  readonly obtain: Obtaining;
  /** What to run, in order, all of it in the foreground; undefined when the program is not installed. On the standard port, or on that one where the server can have several of its kind beside it. */
  readonly programs: (directory: string, port?: number) => readonly Program[] | undefined;
}

export interface Obtaining {
  /** For a person, after "or": what to do by hand. */
  readonly byHand: string;
  /** What is about to be fetched; undefined when this user may not. */
  readonly what: () => string | undefined;
  readonly run: () => void;
}

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Some servers refuse to run as root. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

export const servers: readonly Server[] = [
  {
    name: "rabbitmq",
    greeting: rabbitmq,
    obtain: debian("rabbitmq-server"),
    programs: rabbitmqPrograms,
  },
  {
    name: "redis",
    greeting: redis,
    obtain: debian("redis-server"),
    programs: (directory) =>
      whenInstalled("redis-server", (command) => [
        {
          command,
          args: [
            "--bind",
            "127.0.0.1",
            "--port",
            "6379",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            directory,
          ],
        },
      ]),
  },
  {
    name: "nats",
    greeting: nats,
    obtain: debian("nats-server"),
    programs: (directory, port = nats.port) =>
      whenInstalled("nats-server", (command) => [
        { command, args: ["-a", "127.0.0.1", "-p", String(port), "-js", "-sd", directory] },
      ]),
  },
  {
    name: "postgres",
    greeting: postgres,
    obtain: debian("postgresql"),
    programs: postgresPrograms,
  },
  {
    name: "kafka",
    greeting: kafka,
    obtain: {
      byHand: "install Java 17 and Maven, with which this script fetches it from Maven Central",
      what: () =>
        missingForKafka().length === 0 || canInstall() ? "Kafka from Maven Central" : undefined,
      run: () => {
        for (const name of missingForKafka()) install(name);
        fetchKafka();
      },
    },
    programs: kafkaPrograms,
  },
];

function debian(name: string): Obtaining {
  return {
    byHand: `install Debian's ${name} (as root this script does it)`,
    what: () => (canInstall() ? `Debian's ${name}` : undefined),
    run: () => install(name),
  };
}

function whenInstalled(
  name: string,
  programs: (command: string) => readonly Program[],
): readonly Program[] | undefined {
  const command = findProgram(name);
  return command === undefined ? undefined : programs(command);
}

const rabbitmqBinary = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/** Not through Debian's wrapper: it changes to the user and the folders of the system's own node. */
function rabbitmqPrograms(
  directory: string,
  port: number = rabbitmq.port,
): readonly Program[] | undefined {
  if (!existsSync(rabbitmqBinary)) return undefined;
  const config = join(directory, "rabbitmq.conf");
  writeFileSync(config, `listeners.tcp.local = 127.0.0.1:${port}\n`);
  writeFileSync(join(directory, "enabled_plugins"), "[].\n");
  const env = {
    HOME: directory,
    ERL_EPMD_ADDRESS: "127.0.0.1",
    // A name service of our own, so that nothing is left behind when both are ended.
    ERL_EPMD_PORT: String(8_697 + port),
    RABBITMQ_NODENAME: `waybill-${port}@localhost`,
    RABBITMQ_CONF_ENV_FILE: join(directory, "no-env.conf"),
    RABBITMQ_CONFIG_FILE: config,
    RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, "enabled_plugins"),
    RABBITMQ_MNESIA_BASE: join(directory, "data"),
    RABBITMQ_LOG_BASE: join(directory, "log"),
    RABBITMQ_PID_FILE: join(directory, "pid"),
    // Below the ports that systems give to whoever connects to something, and above those that tests of other rooms draw.
    RABBITMQ_DIST_PORT: String(26_000 + port),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1}",
  };
  return whenInstalled("epmd", (epmd) => [
    { command: epmd, args: [], env },
    { command: rabbitmqBinary, args: [], env },
  ]);
}

function postgresPrograms(
  directory: string,
  port: number = postgres.port,
): readonly Program[] | undefined {
  const folder = globSync("/usr/lib/postgresql/*/bin").toSorted(newestLast).at(-1);
  if (folder === undefined) return undefined;
  const user = process.getuid?.() === 0 ? idsOf("postgres") : undefined;
  const data = join(directory, "data");
  if (!existsSync(join(data, "PG_VERSION"))) {
    mkdirSync(data, { recursive: true, mode: 0o700 });
    if (user !== undefined) {
      chownSync(directory, user.uid, user.gid);
      chownSync(data, user.uid, user.gid);
    }
    execFileSync(join(folder, "initdb"), ["-D", data, "-U", "postgres", "--auth=trust"], {
      ...user,
      cwd: directory,
      stdio: "ignore",
    });
  }
  const args = [
    "-D",
    data,
    "-p",
    String(port),
    "-c",
    "listen_addresses=127.0.0.1",
    "-c",
    `unix_socket_directories=${directory}`,
  ];
  return [{ command: join(folder, "postgres"), args, ...(user === undefined ? {} : { user }) }];
}

function newestLast(one: string, other: string): number {
  return one.localeCompare(other, "en", { numeric: true });
}

function idsOf(name: string): { uid: number; gid: number } {
  const id = (flag: string): number =>
    Number(execFileSync("id", [flag, name], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}

export async function isReady(server: Server): Promise<boolean> {
  return (await probe(server.greeting)).kind === "ready";
}
