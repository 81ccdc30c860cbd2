import { WaybillError } from "@waybill/core";
import { messageOf } from "@waybill/core/adapter";
import { type CapturedTable, type Change, tableName, typeOf } from "./captured.ts";
import type { OldRow, Relation, Tuple } from "./pgoutput.ts";
import { columnFaults } from "./setup.ts";
import { type ColumnType, readValue } from "./values.ts";

interface Column {
  readonly name: string;
  readonly type: ColumnType;
  readonly mayBeNull: boolean;
  readonly mayBeAbsent: boolean;
  /** Where it stands in a row of the log. */
  readonly index: number;
}

type Values = Readonly<Record<string, unknown>>;

/** How rows of a table, as it stands at this place of the log, become what `map` gets. */
export class Plan {
  readonly captured: CapturedTable;
  readonly #columns: readonly Column[];
  readonly #width: number;

  /** Error: STORAGE_INVALID where the table has changed so that declared columns are missing or of another type. */
  constructor(
    captured: CapturedTable,
    { columns }: Pick<Relation, "columns">,
    baseTypes: ReadonlyMap<number, number>,
  ) {
    const byName = new Map(columns.map(({ name, type }, index) => [name, { type, index }]));
    const faults = columnFaults(
      captured,
      (column) => {
        const type = byName.get(column)?.type;
        return type === undefined ? undefined : (baseTypes.get(type) ?? type);
      },
      columns.map(({ name }) => name),
    );
    if (faults.length > 0)
      throw new WaybillError(
        "STORAGE_INVALID",
        `${faults.join(" ")} Nothing is skipped: the changes wait in the log.`,
        { details: { faults } },
      );
    this.captured = captured;
    this.#width = columns.length;
    this.#columns = Object.entries(captured.columns).map(([name, spec]) => ({
      name,
      type: typeOf(spec),
      mayBeNull: spec.endsWith("?"),
      mayBeAbsent: captured.mayBeAbsent.includes(name),
      index: byName.get(name)?.index ?? -1,
    }));
  }

  /** Values that an update has left are taken from the old row where that is whole. Error: STORAGE_INVALID. */
  row(tuple: Tuple, old?: OldRow): Values {
    this.#check(tuple);
    const whole = old?.isKey === false ? old.values : undefined;
    const values: [string, unknown][] = [];
    for (const column of this.#columns) {
      const text =
        tuple[column.index] ?? (tuple[column.index] === null ? null : whole?.[column.index]);
      if (text === undefined && !column.mayBeAbsent) throw this.#absent(column.name);
      if (text === null && !column.mayBeNull) throw this.#isNull(column.name);
      values.push([column.name, this.#value(column, text)]);
    }
    return Object.fromEntries(values);
  }

  /** What the log holds of a row that is no more. NULL is no value of a key: there it stands for what the log does not hold. */
  old({ values, isKey }: OldRow): Values {
    this.#check(values);
    const known = this.#columns.flatMap((column) => {
      const text = values[column.index];
      if (text === undefined || (text === null && isKey)) return [];
      return [[column.name, this.#value(column, text)] as const];
    });
    return Object.fromEntries(known);
  }

  /** Error: MESSAGE_INVALID, naming the table and the place. */
  async map(change: Change<unknown>): Promise<unknown> {
    try {
      return await this.captured.map(change);
    } catch (error) {
      throw new WaybillError(
        "MESSAGE_INVALID",
        `map of captured("${this.captured.table}") threw: ${messageOf(error)}.`,
        { cause: error },
      );
    }
  }

  #value({ name, type }: Column, text: string | null | undefined): unknown {
    if (text === null || text === undefined) return text;
    try {
      return readValue(type, text);
    } catch (error) {
      throw new WaybillError(
        "STORAGE_INVALID",
        `The column "${name}" of ${tableName(this.captured)} cannot be read as ${type}: ${messageOf(error)}.`,
        { cause: error },
      );
    }
  }

  #check(tuple: Tuple): void {
    if (tuple.length === this.#width) return;
    throw new WaybillError(
      "DECODE_FAILED",
      `A row of ${tableName(this.captured)} has ${tuple.length} values where the table has ${this.#width} columns.`,
    );
  }

  #absent(column: string): WaybillError {
    return new WaybillError(
      "STORAGE_INVALID",
      `An update of ${tableName(this.captured)} leaves the large value of "${column}", which the log does not repeat. Name it in captured("${this.captured.table}", { mayBeAbsent }), or run for the changes to come: alter table ${tableName(this.captured)} replica identity full.`,
    );
  }

  #isNull(column: string): WaybillError {
    return new WaybillError(
      "STORAGE_INVALID",
      `The column "${column}" of ${tableName(this.captured)} is NULL, and is not declared so. Write "${this.captured.columns[column]}?" in captured("${this.captured.table}", { columns }).`,
    );
  }
}
