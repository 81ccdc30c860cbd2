import type { DatabaseSync } from "node:sqlite";
import type { Environment, Logger } from "@waybill/core";
import type { AddressBook } from "../addresses.ts";
import type { Settings } from "../options.ts";
import type { Statements } from "./statements.ts";
import type { Wake } from "../processes/wake.ts";
import type { Writer } from "./writer.ts";

/** What the parts of one open broker share. */
export interface Connection {
  readonly file: string;
  readonly settings: Settings;
  readonly db: DatabaseSync;
  readonly sql: Statements;
  readonly environment: Environment;
  readonly logger: Logger;
  readonly addresses: AddressBook;
  readonly writer: Writer;
  readonly wake: Wake;
  /** Row of this process in the table of live instances. */
  readonly instance: number;
}
