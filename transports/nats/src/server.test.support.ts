import { execFileSync } from "node:child_process";
import { join } from "node:path";
import {
  type CrashSuiteOptions,
  type ServerProgram,
  type ServerSpec,
  freePort,
} from "@waybill/testkit";
import { connect } from "@nats-io/transport-node";
import { jetstreamManager } from "@nats-io/jetstream";
import { nats } from "./index.ts";

const own = join(import.meta.dirname, "../../../scripts/brokers/own.ts");

/** A server beside the shared one, which a test may kill. */
export function server(port: number): ServerSpec {
  return {
    programs: (directory) =>
      JSON.parse(
        execFileSync(process.execPath, [own, "nats", String(port), directory], {
          encoding: "utf8",
        }),
      ) as ServerProgram[],
    isReady: async () => {
      const connection = await connect({ servers: `127.0.0.1:${port}`, timeout: 1_000 });
      try {
        await jetstreamManager(connection);
        return true;
      } finally {
        await connection.close();
      }
    },
  };
}

export async function crashes(rounds: number): Promise<CrashSuiteOptions> {
  const port = await freePort();
  return {
    rounds,
    server: server(port),
    url: `nats://127.0.0.1:${port}`,
    transportAt: (url) => nats({ url }),
    worker: join(import.meta.dirname, "crash.fixture.ts"),
  };
}
