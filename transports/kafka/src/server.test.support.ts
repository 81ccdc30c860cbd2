import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { CrashSuiteOptions, ServerProgram, ServerSpec } from "@waybill/testkit";
import { Admin } from "@platformatic/kafka";
import { kafka } from "./index.ts";

const own = join(import.meta.dirname, "../../../scripts/brokers/own.ts");

/** It lives for seconds: what Java would gain by compiling better, it never earns back, and it takes the processor from the test. */
const quickly = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"];

/** A server beside the shared one, which a test may kill. What `prepare` writes into its folder it has from the beginning. */
export function server(port: number, prepare?: (directory: string) => void): ServerSpec {
  return {
    programs: (directory) => {
      prepare?.(directory);
      const args = [own, "kafka", String(port), directory];
      // Java also formats the folder.
      const env = { ...process.env, JAVA_TOOL_OPTIONS: quickly.join(" ") };
      const told = execFileSync(process.execPath, args, { encoding: "utf8", env });
      const programs = JSON.parse(told) as ServerProgram[];
      return programs.map((each) => ({ ...each, args: [...quickly, ...each.args] }));
    },
    isReady: async () => {
      const admin = new Admin({
        clientId: "ready",
        bootstrapBrokers: [`127.0.0.1:${port}`],
        retries: 0,
        connectTimeout: 1_000,
        requestTimeout: 2_000,
      });
      try {
        return (await admin.metadata({ topics: [] })).brokers.size > 0;
      } finally {
        await admin.close();
      }
    },
  };
}

export function crashes(rounds: number): CrashSuiteOptions {
  const port = 9_392;
  return {
    rounds,
    server: server(port),
    url: `kafka://127.0.0.1:${port}`,
    transportAt: (url) => kafka({ url, sessionTimeoutMs: 6_000, heartbeatMs: 300 }),
    worker: join(import.meta.dirname, "crash.fixture.ts"),
  };
}
