export { embedded } from "./embedded.ts";
export type { EmbeddedOptions } from "./options.ts";
export { type BackupOptions, backup } from "./storage/backup.ts";
