export type { SqliteOptions } from "./options.ts";
export { type SqliteStoreFactory, sqlite } from "./sqlite.ts";
export type { SqliteStatement, SqliteTransaction } from "./client.ts";
