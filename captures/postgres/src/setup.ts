import { escapeIdentifier, escapeLiteral } from "pg";
import { WaybillError } from "@waybill/core";
import { type CapturedTable, tableName, typeOf } from "./captured.ts";
import { captureError } from "./errors.ts";
import type { ReplicationLine } from "./line.ts";
import type { Settings } from "./options.ts";
import { fits } from "./values.ts";

/** What was found out about the database when a session began. */
export interface Found {
  /** Names the database and its history: places in the log mean something inside it only. */
  readonly history: string;
  /** Built-in types behind those that were made by users, by oid. */
  readonly baseTypes: ReadonlyMap<number, number>;
  /** Tables that are partitioned. */
  readonly partitioned: ReadonlySet<string>;
  readonly senderTimeoutMs: number;
}

const versionLeast = 140_000;

export function quoted({ schema, table }: Pick<CapturedTable, "schema" | "table">): string {
  return `${escapeIdentifier(schema)}.${escapeIdentifier(table)}`;
}

/** What a person applies who does not let the capture do it. */
export function setupSql({ tables, slot, publication, snapshot }: Settings): string {
  const slots =
    snapshot === "never"
      ? `select pg_create_logical_replication_slot(${escapeLiteral(slot)}, 'pgoutput');\n`
      : "-- The slot is made with the snapshot, when the capture first runs.\n";
  return `-- wal_level must be logical: alter system set wal_level = 'logical', then restart the server.
${createPublication(publication, tables)};
${slots}`;
}

function createPublication(publication: string, tables: readonly CapturedTable[]): string {
  const names = [...new Set(tables.map(quoted))].join(", ");
  return `create publication ${escapeIdentifier(publication)} for table ${names} with (publish_via_partition_root = true)`;
}

/** Checks everything and makes the publication where it may. Errors: WIRING_INVALID with all faults, NOT_SUPPORTED, UNAUTHORISED, STORAGE_FAILED. */
export async function prepare(
  line: ReplicationLine,
  settings: Settings,
  mayCreate: boolean,
): Promise<Found> {
  try {
    const senderTimeoutMs = await checkServer(line, settings);
    const [system] = await line.rows("IDENTIFY_SYSTEM");
    const history = `${BigInt(system?.["systemid"] ?? 0).toString(36)}-${system?.["timeline"]}`;
    const tables = await checkTables(line, settings);
    await checkPublication(line, settings, { mayCreate, partitioned: tables.partitioned });
    return { history, senderTimeoutMs, ...tables };
  } catch (error) {
    throw captureError(error, settings.name);
  }
}

async function checkServer(line: ReplicationLine, { name }: Settings): Promise<number> {
  const [server] = await line.rows(
    `select current_setting('wal_level') as wal, current_setting('server_version_num') as version,
      pg_is_in_recovery() as recovering,
      (select setting from pg_settings where name = 'wal_sender_timeout') as timeout`,
  );
  if (Number(server?.["version"]) < versionLeast)
    throw new WaybillError(
      "NOT_SUPPORTED",
      `${name} needs PostgreSQL 14 or newer, and this server is older.`,
    );
  if (server?.["recovering"] === "t")
    throw new WaybillError(
      "NOT_SUPPORTED",
      `${name} cannot work on a standby server. Give the URL of the primary.`,
      { retryable: true },
    );
  if (server?.["wal"] !== "logical")
    throw new WaybillError(
      "NOT_SUPPORTED",
      `${name} needs the log to hold rows, and wal_level is ${server?.["wal"]}. Run: alter system set wal_level = 'logical', and restart the server.`,
    );
  return Number(server["timeout"]);
}

interface TableFacts {
  readonly columns: ReadonlyMap<string, { readonly type: number; readonly base: number }>;
  readonly kind: string;
  readonly persistence: string;
  readonly identity: string;
  readonly hasKey: boolean;
}

async function checkTables(
  line: ReplicationLine,
  { name, tables }: Settings,
): Promise<Pick<Found, "baseTypes" | "partitioned">> {
  const faults: string[] = [];
  const baseTypes = new Map<number, number>();
  const partitioned = new Set<string>();
  for (const captured of tables) {
    const facts = await factsOf(line, captured);
    faults.push(...tableFaults(captured, facts));
    if (facts?.kind === "p") partitioned.add(tableName(captured));
    for (const { type, base } of facts?.columns.values() ?? []) baseTypes.set(type, base);
  }
  if (faults.length > 0) throw wiringFaults(name, faults);
  return { baseTypes, partitioned };
}

async function factsOf(
  line: ReplicationLine,
  { schema, table }: CapturedTable,
): Promise<TableFacts | undefined> {
  const rows = await line.rows(
    `select c.relkind as kind, c.relpersistence as persistence, c.relreplident as identity, a.attname as name, a.atttypid as type,
      coalesce(nullif(t.typbasetype, 0), a.atttypid) as base,
      exists (select 1 from pg_index i where i.indrelid = c.oid and i.indisprimary) as key
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      join pg_type t on t.oid = a.atttypid
    where n.nspname = ${escapeLiteral(schema)} and c.relname = ${escapeLiteral(table)} order by a.attnum`,
  );
  const [first] = rows;
  if (first === undefined) return undefined;
  return {
    kind: first["kind"] ?? "",
    persistence: first["persistence"] ?? "",
    identity: first["identity"] ?? "",
    hasKey: first["key"] === "t",
    columns: new Map(
      rows.map(({ name, type, base }) => [name ?? "", { type: Number(type), base: Number(base) }]),
    ),
  };
}

function tableFaults(captured: CapturedTable, facts: TableFacts | undefined): readonly string[] {
  const table = tableName(captured);
  if (facts === undefined)
    return [
      `There is no table ${table}, or its user may not see it. Name the schema too: "shop.products".`,
    ];
  const { kind, persistence, identity, hasKey } = facts;
  if (!["r", "p"].includes(kind)) return [`${table} is no table, and only tables are in the log.`];
  if (persistence !== "p")
    return [`${table} is unlogged or temporary: its rows are not in the log.`];
  const faults = columnFaults(captured, (column) => facts.columns.get(column)?.base, [
    ...facts.columns.keys(),
  ]);
  // Once such a table is published the server refuses UPDATE and DELETE to the very program that is captured.
  if (identity === "n" || (identity === "d" && !hasKey))
    return [
      ...faults,
      `${table} has no primary key, so that publishing it would make UPDATE and DELETE fail for whoever writes it. Add one, or run: alter table ${quoted(captured)} replica identity full.`,
    ];
  return faults;
}

/** What of a table's columns is not as it was declared. */
export function columnFaults(
  captured: CapturedTable,
  baseOf: (column: string) => number | undefined,
  known: readonly string[],
): readonly string[] {
  const table = tableName(captured);
  return Object.entries(captured.columns).flatMap(([column, spec]) => {
    const base = baseOf(column);
    if (base === undefined && captured.mayBeAbsent.includes(column)) return [];
    if (base === undefined)
      return [
        `The table ${table} has no column "${column}"; it has ${known.join(", ")}. Rename it in captured("${captured.table}", { columns }), or take it out.`,
      ];
    const type = typeOf(spec);
    if (fits(type, base)) return [];
    return [
      `The column "${column}" of ${table} is no ${type} (its type has the oid ${base}). Declare it otherwise in captured("${captured.table}", { columns }); "text" takes any type.`,
    ];
  });
}

function wiringFaults(name: string, faults: readonly string[]): WaybillError {
  const list = faults.map((fault) => `  - ${fault}`).join("\n");
  return new WaybillError("WIRING_INVALID", `The ${name} does not fit the database:\n${list}`, {
    details: { faults },
  });
}

/** It must be there before the slot: what is decoded from before it was made is refused by the server. */
async function checkPublication(
  line: ReplicationLine,
  settings: Settings,
  { mayCreate, partitioned }: { mayCreate: boolean; partitioned: ReadonlySet<string> },
): Promise<void> {
  const { name, publication, tables } = settings;
  const [found] = await line.rows(
    `select pubinsert and pubupdate and pubdelete and pubtruncate as whole, pubviaroot as root from pg_publication where pubname = ${escapeLiteral(publication)}`,
  );
  const missing = found === undefined ? tables : await unpublished(line, settings);
  const sql =
    found === undefined
      ? createPublication(publication, tables)
      : `alter publication ${escapeIdentifier(publication)} add table ${[...new Set(missing.map(quoted))].join(", ")}`;
  const faults: string[] = [];
  if (found !== undefined && found["whole"] !== "t")
    faults.push(
      `The publication ${publication} leaves out kinds of changes. Run: alter publication ${escapeIdentifier(publication)} set (publish = 'insert, update, delete, truncate').`,
    );
  if (found !== undefined && found["root"] !== "t" && partitioned.size > 0)
    faults.push(
      `The publication ${publication} names partitions and not their table. Run: alter publication ${escapeIdentifier(publication)} set (publish_via_partition_root = true).`,
    );
  if (missing.length > 0 && !mayCreate)
    faults.push(
      `The publication ${publication} ${found === undefined ? "is not there" : `lacks ${missing.map(tableName).join(", ")}`}. Run: ${sql}.`,
    );
  if (faults.length > 0) throw wiringFaults(name, faults);
  if (missing.length === 0) return;
  try {
    await line.rows(sql);
  } catch (error) {
    // Another process may have made it at the same time.
    if ((await unpublished(line, settings)).length > 0) throw error;
  }
}

async function unpublished(
  line: ReplicationLine,
  { publication, tables }: Settings,
): Promise<readonly CapturedTable[]> {
  const rows = await line.rows(
    `select schemaname as schema, tablename as table from pg_publication_tables where pubname = ${escapeLiteral(publication)}`,
  );
  const published = new Set(rows.map(({ schema, table }) => `${schema}.${table}`));
  return tables.filter((each) => !published.has(tableName(each)));
}
