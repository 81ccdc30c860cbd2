import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Delivery, WaybillError, sleep, systemEnvironment } from "@waybill/core";
import { ServerProcess } from "@waybill/testkit";
import { Corner, ignore, message, open, until } from "./corner.test.support.ts";
import type { KafkaOptions, KafkaSasl } from "./index.ts";
import { server } from "./server.test.support.ts";

const port = 9_492;
const [saslPort, tlsPort] = [port + 2, port + 3];
const password = "s3cret-of-alice";
/** May do everything; bob may nothing. */
const alice = { username: "alice", password };

describe("A broker that asks who comes", { timeout: 240_000 }, () => {
  let own: ServerProcess;
  let ca = "";

  before(async () => {
    own = await ServerProcess.start(
      server(port, (directory) => {
        ca = prepare(directory);
      }),
    );
  });
  after(() => own[Symbol.asyncDispose]());

  const sasl = (mechanism: KafkaSasl["mechanism"], who: Partial<KafkaSasl> = alice): KafkaSasl => ({
    mechanism,
    ...who,
  });
  const plainLine = (options: KafkaSasl): Partial<KafkaOptions> => ({
    url: `kafka://localhost:${saslPort}`,
    sasl: options,
  });
  const secureLine = (options: KafkaSasl): Partial<KafkaOptions> => ({
    url: `kafkas://localhost:${tlsPort}`,
    sasl: options,
    tls: { ca },
  });

  for (const mechanism of ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] as const)
    for (const [line, over] of [
      ["a plain line", plainLine],
      ["TLS", secureLine],
    ] as const)
      test(`lets in by ${mechanism} over ${line}, and what is sent is received`, async () => {
        await using corner = new Corner(port);
        const transport = await corner.open(over(sasl(mechanism)));
        const queues = [{ name: "orders" }];
        await transport.declare({ queues, topics: [], subscriptions: [], streams: [] });
        const taken: Delivery[] = [];
        const limits = { prefetch: 1, prefetchBytes: 1_000, lockMs: 3_000 };
        transport.receive({ kind: "queue", name: "orders" }, limits, {
          deliver: (batch) => void taken.push(...batch),
          fault: ignore,
        });
        await transport.send([message("first")]);
        await until("it to come", () => taken.length === 1);
        assert.equal(await taken[0]?.settle({ kind: "complete" }), "settled");
      });

  for (const mechanism of ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] as const)
    test(`refuses a wrong password by ${mechanism} as UNAUTHORISED, without showing it`, async () => {
      const wrong = sasl(mechanism, { username: "alice", password: "wr0ng-word" });
      await refused(plainLine(wrong), "UNAUTHORISED", /Check mechanism, user and password/);
      await refused(secureLine(wrong), "UNAUTHORISED", /Check mechanism, user and password/);
    });

  test("refuses who has no rights as UNAUTHORISED, and says which are needed", async () => {
    const bob = sasl("PLAIN", { username: "bob", password: "s3cret-of-bob" });
    await refused(plainLine(bob), "UNAUTHORISED", /Allow this user the topics and groups/);
  });

  test("is not believed without the certificate of who signed its own", async () => {
    const { tls: _tls, ...blind } = secureLine(sasl("PLAIN"));
    await refused(blind, "TRANSPORT_FAILED", /certificate/i);
  });

  test("that has no such host is named", async () => {
    const nowhere = { url: "kafka://no-such-host.invalid:9092", connectTimeoutMs: 1_000 };
    await refused(nowhere, "TRANSPORT_FAILED", /no-such-host\.invalid/);
  });
});

async function refused(
  options: Partial<KafkaOptions>,
  code: WaybillError["code"],
  text: RegExp,
): Promise<void> {
  const opening = open(new Corner(port).factory(options)).then(async (transport) => {
    await transport[Symbol.asyncDispose]();
    throw new Error("it was let in");
  });
  await assert.rejects(
    Promise.race([opening, sleep(systemEnvironment.timers, 60_000).then(() => "no answer")]),
    (error: unknown) => {
      assert.ok(error instanceof WaybillError, String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, text);
      assert.doesNotMatch(error.message, /wr0ng|s3cret/);
      return true;
    },
  );
}

/** Listeners, users and a certificate that it signs itself. Answers the certificate. */
function prepare(directory: string): string {
  const at = (name: string): string => join(directory, name);
  const subject = [
    "-subj",
    "/CN=localhost",
    "-addext",
    "subjectAltName=DNS:localhost,IP:127.0.0.1",
  ];
  const files = ["-keyout", at("key.pem"), "-out", at("cert.pem"), "-days", "2"];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", ...files, ...subject], {
    stdio: "ignore",
  });
  const [key, cert] = [readFileSync(at("key.pem"), "utf8"), readFileSync(at("cert.pem"), "utf8")];
  writeFileSync(at("both.pem"), `${key}${cert}`);
  const scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"];
  const users = scram.map((mechanism) => `${mechanism}=[name=alice,password=${password}]\n`);
  writeFileSync(at("scram.txt"), users.join(""));
  const modules = "org.apache.kafka.common.security";
  const jaas = ["sasl", "sasltls"].flatMap((listener) => [
    `listener.name.${listener}.plain.sasl.jaas.config=${modules}.plain.PlainLoginModule required user_alice="${password}" user_bob="s3cret-of-bob";`,
    ...scram.map(
      (mechanism) =>
        `listener.name.${listener}.${mechanism.toLowerCase()}.sasl.jaas.config=${modules}.scram.ScramLoginModule required;`,
    ),
  ]);
  const lines = [
    `listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${port + 1},SASL://127.0.0.1:${saslPort},SASLTLS://127.0.0.1:${tlsPort}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:${port},SASL://localhost:${saslPort},SASLTLS://localhost:${tlsPort}`,
    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL",
    "inter.broker.listener.name=PLAINTEXT",
    `sasl.enabled.mechanisms=PLAIN,${scram.join(",")}`,
    ...jaas,
    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users=User:ANONYMOUS;User:alice",
    "ssl.keystore.type=PEM",
    `ssl.keystore.location=${at("both.pem")}`,
    "",
  ];
  writeFileSync(at("more.properties"), lines.join("\n"));
  return cert;
}
