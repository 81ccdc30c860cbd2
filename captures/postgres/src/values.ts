/** What a column becomes. Its PostgreSQL types, by oid; text takes any. */
export interface ColumnTypes {
  /** Any type, as PostgreSQL writes it: `12.50`, `2026-01-31`, `{a,b}`. Whole and decimal numbers of any size without loss. */
  readonly text: string;
  /** smallint, integer, real, double precision, oid. */
  readonly number: number;
  readonly boolean: boolean;
  /** json and jsonb, parsed. */
  readonly json: unknown;
  /** bytea. */
  readonly bytes: Uint8Array;
  /** timestamp with time zone, as `2026-01-31T09:30:00.123456Z`. */
  readonly timestamptz: string;
}

export type ColumnType = keyof ColumnTypes;

const oids: Readonly<Record<Exclude<ColumnType, "text">, readonly number[]>> = {
  number: [21, 23, 26, 700, 701],
  boolean: [16],
  json: [114, 3802],
  bytes: [17],
  timestamptz: [1184],
};

export const columnTypes: readonly ColumnType[] = [
  "text",
  ...(Object.keys(oids) as Exclude<ColumnType, "text">[]),
];

export function fits(type: ColumnType, oid: number): boolean {
  return type === "text" || oids[type].includes(oid);
}

const moment = /^(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)\+00$/;

/** From the text that the server writes in the settings of `line.ts`. Throws for what is none. */
export function readValue(type: ColumnType, text: string): unknown {
  switch (type) {
    case "text":
      return text;
    case "number":
      return Number(text);
    case "boolean":
      return text === "t";
    case "json":
      return JSON.parse(text) as unknown;
    case "bytes":
      return Uint8Array.from(Buffer.from(text.slice(2), "hex"));
    case "timestamptz": {
      const parts = moment.exec(text);
      // `infinity` and years before Christ have no other form.
      return parts === null ? text : `${parts[1]}T${parts[2]}Z`;
    }
  }
}
