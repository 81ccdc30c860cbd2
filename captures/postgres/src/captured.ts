import type { Event, Stream } from "@waybill/contracts";
import { WaybillError } from "@waybill/core";
import { type ColumnType, type ColumnTypes, columnTypes } from "./values.ts";

/** A type of `ColumnTypes`; with a question mark the column may be NULL. */
export type ColumnSpec = ColumnType | `${ColumnType}?`;

type ValueOf<Spec> = Spec extends ColumnType
  ? ColumnTypes[Spec]
  : Spec extends `${infer Type extends ColumnType}?`
    ? ColumnTypes[Type] | null
    : never;

/** The row as `map` gets it: the columns that were named and no others. */
export type RowOf<Given, Absent = never> = {
  readonly [Column in keyof Given]:
    | ValueOf<Given[Column]>
    | (Column extends Absent ? undefined : never);
};

interface Moment {
  /** Where in the log it stands, `16/B374D848`; undefined for a row of the snapshot. */
  readonly lsn: string | undefined;
  /** The transaction's number and when it was committed; undefined for a row of the snapshot. */
  readonly transaction: number | undefined;
  readonly committedAt: Date | undefined;
}

/**
 * What happened to one row. read: it was there when capturing began. `old` has the columns of the key where an update changed it, and of a deleted
 * row; all columns where the table has REPLICA IDENTITY FULL. truncate: all rows are gone.
 */
export type Change<Row> = Moment &
  (
    | { readonly kind: "read" | "insert"; readonly row: Row }
    | { readonly kind: "update"; readonly row: Row; readonly old: Partial<Row> | undefined }
    | { readonly kind: "delete"; readonly old: Partial<Row> }
    | { readonly kind: "truncate" }
  );

interface CapturedOptions<Given, Absent, Value> {
  /** The columns that `map` needs, with their types. They are checked when the bus connects, and again whenever the table is altered. */
  readonly columns: Given;
  /**
   * Columns that are undefined in an update which leaves them: a large value (from about 2 kB) is stored apart, and the log does not repeat it,
   * unless the table has REPLICA IDENTITY FULL. Of a column that is not named here such an update halts the capture. They are undefined, too, where
   * the table does not have them (yet, or any more): so a column is renamed.
   */
  readonly mayBeAbsent?: readonly Absent[];
  /**
   * What is published for a change, undefined for nothing. It is called again when a change is read again, so it must answer from the change alone.
   * When it throws, or answers what the contract's schema refuses, the capture halts: nothing is skipped.
   */
  readonly map: (
    change: Change<RowOf<Given, Absent>>,
  ) => Value | undefined | Promise<Value | undefined>;
}

/** One table and what is published for its changes. */
export interface CapturedTable<Contract extends Event | Stream = any> {
  readonly schema: string;
  readonly table: string;
  readonly contract: Contract;
  readonly columns: Readonly<Record<string, ColumnSpec>>;
  readonly mayBeAbsent: readonly string[];
  readonly map: (change: any) => unknown;
}

type Columns = Readonly<Record<string, ColumnSpec>>;

/** The same for a stream, to which the changes are appended. */
export function captured<
  const Given extends Columns,
  Name extends string,
  Item,
  const Absent extends keyof Given & string = never,
>(
  table: string,
  options: CapturedOptions<Given, Absent, NoInfer<Item>> & {
    readonly stream: Stream<Name, Item>;
  },
): CapturedTable<Stream<Name, Item>>;
// Last, because the compiler explains the last one where none fits.
/**
 * A table, `products` or `schema.products`, whose changes are published as an event, or appended to a `stream`. Error: OPTION_INVALID.
 *
 * @example
 * captured("products", {
 *   columns: { id: "text", price: "text", name: "text?" },
 *   event: ProductChanged,
 *   map: (change) => (change.kind === "insert" || change.kind === "update" ? change.row : undefined),
 * });
 */
export function captured<
  const Given extends Columns,
  Name extends string,
  Payload,
  Shown extends Record<string, any>,
  const Absent extends keyof Given & string = never,
>(
  table: string,
  options: CapturedOptions<Given, Absent, NoInfer<Payload>> & {
    readonly event: Event<Name, Payload, Shown>;
  },
): CapturedTable<Event<Name, Payload, Shown>>;
export function captured(
  table: string,
  options: CapturedOptions<Columns, string, unknown> & {
    readonly event?: Event;
    readonly stream?: Stream;
  },
): CapturedTable {
  const { columns, mayBeAbsent = [], map } = options;
  const parts = table.split(".");
  const contract = options.event ?? options.stream;
  if (parts.length > 2 || parts.some((part) => part === ""))
    throw invalid(table, 'a table as "products" or "shop.products"');
  if (contract?.kind !== "event" && contract?.kind !== "stream")
    throw invalid(table, "an `event` or a `stream`");
  if (typeof map !== "function") throw invalid(table, "`map`, a function");
  if (Object.keys(columns).length === 0) throw invalid(table, "`columns`, one at least");
  for (const [column, spec] of Object.entries(columns))
    if (!columnTypes.includes(typeOf(spec)))
      throw invalid(
        table,
        `for the column "${column}" one of ${columnTypes.join(", ")}, with ? where it may be NULL`,
      );
  for (const column of mayBeAbsent)
    if (!Object.hasOwn(columns, column))
      throw invalid(table, `in \`mayBeAbsent\` names of its \`columns\`, not "${column}"`);
  const [schema, name] = parts.length === 2 ? parts : ["public", table];
  return { schema: schema ?? "public", table: name ?? table, contract, columns, mayBeAbsent, map };
}

export function typeOf(spec: ColumnSpec): ColumnType {
  return (spec.endsWith("?") ? spec.slice(0, -1) : spec) as ColumnType;
}

export function tableName({ schema, table }: Pick<CapturedTable, "schema" | "table">): string {
  return `${schema}.${table}`;
}

function invalid(table: string, wanted: string): WaybillError {
  return new WaybillError("OPTION_INVALID", `captured("${table}", …) takes ${wanted}.`);
}
