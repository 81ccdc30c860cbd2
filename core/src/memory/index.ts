export { type MemoryBroker, memory } from "./memory.ts";
export type { MemoryOptions } from "./options.ts";
