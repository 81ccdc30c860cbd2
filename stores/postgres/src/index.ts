export type { PostgresTransaction } from "./client.ts";
export type { PostgresOptions } from "./options.ts";
export { type PostgresStoreFactory, postgres } from "./postgres.ts";
