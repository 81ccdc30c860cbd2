import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { bullmq } from "./bullmq/twin.ts";
import { postgresVersion } from "./outbox/stores.ts";
import { rabbitmq } from "./rabbitmq/twin.ts";
import { serverOfNats } from "./transports/servers.ts";

export interface Versions {
  /** Commit that was measured, with `+` when files were changed after it. */
  readonly commit: string;
  readonly clients: Readonly<Record<string, string>>;
  readonly servers: Readonly<Record<string, string>>;
}

export async function readVersions(): Promise<Versions> {
  const missing = "not running here";
  return {
    commit: readCommit(),
    clients: readClients(),
    servers: {
      redis: (await bullmq.version()) ?? missing,
      rabbitmq: (await rabbitmq.version()) ?? missing,
      nats: (await serverOfNats.version()) ?? missing,
      postgres: (await postgresVersion()) ?? missing,
    },
  };
}

function readCommit(): string {
  const git = (...args: readonly string[]): string =>
    execFileSync("git", args, {
      cwd: fileURLToPath(new URL("../", import.meta.url)),
      encoding: "utf8",
    }).trim();
  try {
    const dirty =
      git("status", "--porcelain", "--", "../core/src", "../broker/src", "../contracts/src") !== "";
    return `${git("rev-parse", "--short", "HEAD")}${dirty ? "+" : ""}`;
  } catch {
    return "unknown";
  }
}

function readClients(): Record<string, string> {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  const { dependencies } = JSON.parse(text) as { dependencies: Record<string, string> };
  const foreign = ([name]: readonly [string, string]): boolean =>
    name !== "waybill" && !name.startsWith("@waybill/");
  return Object.fromEntries(Object.entries(dependencies).filter(foreign));
}
