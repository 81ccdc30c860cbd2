import { WaybillError } from "@waybill/core";
import { type CapturedTable, tableName } from "./captured.ts";

export interface CaptureOptions<Tables extends readonly CapturedTable[]> {
  /** The database that is captured, `postgres://user:password@host/database`: the server itself, no pooler before it. */
  readonly url: string;
  readonly tables: Tables;
  /** initial: what is there when capturing begins is published first, as changes of the kind "read". never: only what changes. Default "initial". */
  readonly snapshot?: "initial" | "never";
  /** The replication slot, which keeps the place in the log: lower case letters, digits and underscores. Default: from the capture's name. */
  readonly slot?: string;
  /** The publication, which names the tables. Default: as the slot. */
  readonly publication?: string;
  /** How much log the server may keep for the slot before `bus.health()` is degraded and the log is warned, in bytes. Default 1 GiB. */
  readonly retainedBytesMax?: number;
  /** Messages that are sent to the broker together, 1 to 10,000. Default 500. */
  readonly batchMax?: number;
  /** How long connecting may take, in milliseconds, 100 to 60,000. Default 5,000. */
  readonly connectMsMax?: number;
}

export interface Settings {
  readonly url: string;
  /** Without the password. */
  readonly name: string;
  readonly tables: readonly CapturedTable[];
  readonly snapshot: "initial" | "never";
  readonly slot: string;
  readonly publication: string;
  readonly retainedBytesMax: number;
  readonly batchMax: number;
  readonly connectMsMax: number;
}

const slotPattern = /^[a-z0-9_]{1,50}$/;

/** Throws OPTION_INVALID. */
export function settingsOf(
  capture: string,
  options: CaptureOptions<readonly CapturedTable[]>,
): Settings {
  const { url, tables, snapshot = "initial", retainedBytesMax = 1024 ** 3 } = options;
  const { batchMax = 500, connectMsMax = 5_000 } = options;
  const slot = options.slot ?? `waybill_${capture.toLowerCase().replaceAll(/[^a-z0-9]+/g, "_")}`;
  const publication = options.publication ?? slot;
  if (!URL.canParse(url) || !/^postgres(ql)?:/.test(url))
    throw invalid("url", "a URL as postgres://user@host/database");
  if (tables.length === 0) throw invalid("tables", "one table at least");
  const ways = tables.map((each) => `${tableName(each)} to "${each.contract.name as string}"`);
  const twice = ways.find((way, index) => ways.indexOf(way) !== index);
  if (twice !== undefined)
    throw invalid("tables", `each way once, and ${twice} stands there twice`);
  if (!["initial", "never"].includes(snapshot)) throw invalid("snapshot", '"initial" or "never"');
  // The slot of the snapshot has a longer name, and a server takes 63 characters.
  if (!slotPattern.test(slot))
    throw invalid("slot", "1 to 50 lower case letters, digits and underscores");
  if (publication === "" || Buffer.byteLength(publication) > 63)
    throw invalid("publication", "a name of 1 to 63 bytes");
  check("retainedBytesMax", retainedBytesMax, [1, Number.MAX_SAFE_INTEGER]);
  check("batchMax", batchMax, [1, 10_000]);
  check("connectMsMax", connectMsMax, [100, 60_000]);
  const { host, pathname } = new URL(url);
  const name = `capture "${capture}" of postgres ${host}${pathname}`;
  return {
    url,
    name,
    tables,
    snapshot,
    slot,
    publication,
    retainedBytesMax,
    batchMax,
    connectMsMax,
  };
}

function check(name: string, value: number, [least, most]: readonly [number, number]): void {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw invalid(name, `a whole number from ${least} to ${most}`);
}

/** The value is not shown: a URL may hold a password. */
function invalid(name: string, wanted: string): WaybillError {
  return new WaybillError("OPTION_INVALID", `capture({ ${name} }) takes ${wanted}.`);
}
