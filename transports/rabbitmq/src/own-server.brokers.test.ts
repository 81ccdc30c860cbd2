import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Schema, command } from "@waybill/contracts";
import { type Logger, type WaybillError, connect, service } from "@waybill/core";
import { ServerProcess, type ServerSpec } from "@waybill/testkit";
import { Certificates } from "./certificates.test.support.ts";
import { until } from "./corner.test.support.ts";
import { type RabbitmqOptions, rabbitmq } from "./index.ts";
import { server } from "./server.test.support.ts";

interface Job {
  readonly id: string;
}

const Job: Schema<Job> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as Job }) },
};

const port = 5_696;
const tlsPort = 5_697;
const messageBytesMax = 64 * 1024;
const consumerTimeoutMs = 1_000;

const erlang = "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS";

/** A server of its own, because all of it is said in the server's settings. */
function strict(certificates: Certificates): ServerSpec {
  const plain = server(port);
  const settings = [
    `listeners.ssl.local = 127.0.0.1:${tlsPort}`,
    `ssl_options.cacertfile = ${certificates.path("ours.crt")}`,
    `ssl_options.certfile = ${certificates.path("server.crt")}`,
    `ssl_options.keyfile = ${certificates.path("server.key")}`,
    "ssl_options.verify = verify_peer",
    "ssl_options.fail_if_no_peer_cert = true",
    `max_message_size = ${messageBytesMax}`,
    `consumer_timeout = ${consumerTimeoutMs}`,
  ];
  return {
    ...plain,
    programs: (directory) => {
      const programs = plain.programs(directory);
      appendFileSync(join(directory, "rabbitmq.conf"), `${settings.join("\n")}\n`);
      // How often it looks for consumers that take too long is no setting of that file.
      return programs.map(({ command: run, args, env }) => ({
        command: run,
        args,
        env: { ...env, [erlang]: `${env?.[erlang]} -rabbit channel_tick_interval 250` },
      }));
    },
  };
}

const certificates = new Certificates();
const running = await ServerProcess.start(strict(certificates));
after(async () => {
  await running[Symbol.asyncDispose]();
  certificates[Symbol.dispose]();
});

const log: string[] = [];
const take = (said: string): void => void log.push(said);
const logger: Logger = { debug: () => undefined, info: () => undefined, warn: take, error: take };
const serverBy = (options: Partial<RabbitmqOptions> = {}) =>
  rabbitmq({ url: `amqp://127.0.0.1:${port}`, ...options });

const ours = { ca: certificates.read("ours.crt") };
const client = { cert: certificates.read("client.crt"), key: certificates.read("client.key") };
const url = `amqps://127.0.0.1:${tlsPort}`;

test("over TLS of RabbitMQ itself, with a certificate on either side, a command is sent and handled", async () => {
  const DoJob = command("tls.job", { input: Job });
  const seen: string[] = [];
  const worker = service("worker", { sends: [DoJob] }).handle(
    DoJob,
    ({ id }) => void seen.push(id),
  );
  const transport = serverBy({ url, tls: { ...ours, ...client } });
  await using bus = await connect({ transport, services: [worker], logger });
  await bus.send(DoJob, { id: "secret" });
  await until("it is handled", () => seen.length === 1);
});

for (const [what, tls] of [
  ["no authority", client],
  ["no certificate of its own", ours],
  ["another authority", { ca: certificates.read("other.crt"), ...client }],
] as const)
  test(`over TLS of RabbitMQ itself, with ${what}: UNAUTHORISED`, async () => {
    await assert.rejects(
      connect({ transport: serverBy({ url, tls }), services: [service("worker")], logger }),
      (error: WaybillError) => {
        assert.equal(error.code, "UNAUTHORISED", error.message);
        return true;
      },
    );
  });

test("a message that the server finds too large is refused at once, and those beside it arrive", async () => {
  const DoJob = command("large.job", { input: Job });
  const seen = new Set<string>();
  const worker = service("worker", { sends: [DoJob] }).handle(
    DoJob,
    ({ id }) => void seen.add(id.slice(0, 9)),
  );
  await using bus = await connect({ transport: serverBy(), services: [worker], logger });
  const large = bus.send(DoJob, { id: "large".repeat(messageBytesMax) });
  const beside = Array.from({ length: 20 }, (_, at) =>
    bus.send(DoJob, { id: `small-${100 + at}` }),
  );
  // When the time of a send is up it is TRANSPORT_FAILED.
  await assert.rejects(large, { code: "BODY_TOO_LARGE" });
  await Promise.all(beside);
  await until("all beside it came", () => seen.size === beside.length);
});

test("a handler that takes longer than the server's consumer timeout is told that it lost its lock; the message comes again, counted, and others go on", async () => {
  const [Slow, Quick] = [command("slow.job", { input: Job }), command("quick.job", { input: Job })];
  const attempts: number[] = [];
  let lost = 0;
  const seen: string[] = [];
  const worker = service("worker", { sends: [Slow, Quick] })
    .handle(Slow, (_, { attempt, signal }) => {
      attempts.push(attempt);
      if (attempt > 1) return undefined;
      return new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => {
          lost += 1;
          resolve();
        });
      });
    })
    .handle(Quick, ({ id }) => void seen.push(id));
  await using bus = await connect({ transport: serverBy(), services: [worker], logger });
  await bus.send(Slow, { id: "slow" });
  await until("it is told", () => lost === 1);
  await until("it comes again", () => attempts.length > 1);
  // Again and again, where the machine is so slow that the server takes that for too long, too.
  assert.deepEqual(
    attempts,
    attempts.map((_, before) => before + 1),
  );
  await bus.send(Quick, { id: "quick" });
  await until("others go on", () => seen.length === 1);
  assert.ok(
    log.some((said) => /timeout|timed out/i.test(said)),
    log.join("\n"),
  );
  assert.deepEqual(await bus.deadLetters.list(), []);
});
