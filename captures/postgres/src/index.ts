export { type CaptureService, capture } from "./capture.ts";
export {
  type CapturedTable,
  type Change,
  type ColumnSpec,
  type RowOf,
  captured,
} from "./captured.ts";
export type { CaptureOptions } from "./options.ts";
export type { ColumnType, ColumnTypes } from "./values.ts";
