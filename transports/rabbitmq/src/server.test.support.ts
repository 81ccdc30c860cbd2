import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { CrashSuiteOptions, ServerProgram, ServerSpec } from "@waybill/testkit";
import { connect } from "amqplib";
import { rabbitmq } from "./index.ts";

const own = join(import.meta.dirname, "../../../scripts/brokers/own.ts");

/** A server beside the shared one, which a test may kill. */
export function server(port: number): ServerSpec {
  return {
    programs: (directory) =>
      JSON.parse(
        execFileSync(process.execPath, [own, "rabbitmq", String(port), directory], {
          encoding: "utf8",
        }),
      ) as ServerProgram[],
    isReady: async () => {
      const connection = await connect(`amqp://127.0.0.1:${port}`, { timeout: 1_000 });
      await connection.close();
      return true;
    },
  };
}

export function crashes(rounds: number): CrashSuiteOptions {
  const port = 5_699;
  return {
    rounds,
    // Killed, RabbitMQ 3.10 can leave a quorum queue without a leader for ever ("leader not known"), for every client; see the README.
    endings: ["SIGTERM"],
    server: server(port),
    url: `amqp://127.0.0.1:${port}`,
    transportAt: (url) => rabbitmq({ url }),
    worker: join(import.meta.dirname, "crash.fixture.ts"),
  };
}
