import { readFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir, totalmem, type } from "node:os";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
  readonly sqlite: string;
  readonly os: string;
  readonly fileSystem: string;
  /** Load average of the minute before. */
  readonly loadBefore: number;
}

export function describeMachine(): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    sqlite: process.versions["sqlite"] ?? "unknown",
    os: `${type()} ${release()}`,
    fileSystem: fileSystemOf(tmpdir()),
    loadBefore: loadavg()[0] ?? Number.NaN,
  };
}

/** Where the embedded broker's files lie during the run. Linux only. */
function fileSystemOf(directory: string): string {
  let mounts: string;
  try {
    mounts = readFileSync("/proc/mounts", "utf8");
  } catch {
    return "unknown";
  }
  let best = { point: "", kind: "unknown" };
  for (const line of mounts.split("\n")) {
    const [, point = "", kind = ""] = line.split(" ");
    const covers =
      directory === point || directory.startsWith(point.endsWith("/") ? point : `${point}/`);
    if (covers && point.length >= best.point.length) best = { point, kind };
  }
  return best.kind;
}
