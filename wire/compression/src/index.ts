export type { Algorithm } from "./algorithms.ts";
export { type CompressionOptions, compression } from "./compression.ts";
