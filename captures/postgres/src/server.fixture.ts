import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { Client } from "pg";
import { type ServerProgram, ServerProcess, freePort } from "@waybill/testkit";

const own = join(import.meta.dirname, "../../../scripts/brokers/own.ts");

export interface OwnServer extends AsyncDisposable {
  readonly url: string;
  /** What the old program does: plain statements over a line of its own. */
  client(user?: string): Promise<Client>;
  /** One statement over a line of its own. */
  query(text: string): Promise<readonly Record<string, unknown>[]>;
  restart(signal: "SIGINT" | "SIGQUIT"): Promise<void>;
}

const defaults: Readonly<Record<string, string>> = {
  wal_level: "logical",
  // The tests are about the log, not about the disk.
  fsync: "off",
  shared_buffers: "16MB",
  max_replication_slots: "20",
  max_wal_senders: "20",
};

/** A server of the test's own, which ends with it. */
export async function ownServer(
  settings: Readonly<Record<string, string>> = {},
): Promise<OwnServer> {
  const port = await freePort();
  const flags = Object.entries({ ...defaults, ...settings }).flatMap(([name, value]) => [
    "-c",
    `${name}=${value}`,
  ]);
  const urlOf = (user: string): string => `postgres://${user}@127.0.0.1:${port}/postgres`;
  const client = async (user = "postgres"): Promise<Client> => {
    const opened = new Client(urlOf(user));
    opened.on("error", () => undefined);
    await opened.connect();
    return opened;
  };
  const query = async (text: string): Promise<readonly Record<string, unknown>[]> => {
    const opened = await client();
    try {
      return (await opened.query<Record<string, unknown>>(text)).rows;
    } finally {
      await opened.end();
    }
  };
  const server = await ServerProcess.start({
    programs: (directory) => {
      const text = execFileSync(process.execPath, [own, "postgres", String(port), directory]);
      const programs = JSON.parse(text.toString()) as ServerProgram[];
      return programs.map((program) => ({ ...program, args: [...program.args, ...flags] }));
    },
    isReady: async () => {
      await query("select 1");
      return true;
    },
  });
  return {
    url: urlOf("postgres"),
    client,
    query,
    restart: (signal) => server.restart(signal),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
