import type { Event, Stream } from "@waybill/contracts";
import type { CaptureFactory, CaptureHost, Service } from "@waybill/core";
import { placeOutside } from "@waybill/core/adapter";
import type { CapturedTable } from "./captured.ts";
import { type CaptureOptions, settingsOf } from "./options.ts";
import { PostgresCapture } from "./session.ts";
import { setupSql } from "./setup.ts";

type ContractOf<Tables extends readonly CapturedTable[]> =
  Tables[number] extends CapturedTable<infer Contract> ? Contract : never;

/** A service that publishes what others write: `connect({ services: [productCapture] })`. */
export interface CaptureService<Contract = any> extends Service<
  { publishes: Extract<Contract, Event>[]; appends: Extract<Contract, Stream>[] },
  never
> {
  readonly capture: CaptureFactory;
  /** What it needs of the database, for who applies that by hand. */
  readonly sql: string;
}

/**
 * Publishes what any program writes to tables of a PostgreSQL (14 or newer, `wal_level = logical`), in the order of its commits, at least once: the place
 * in the log moves on when the broker has confirmed. A change that is published again has the same id, so an inbox drops it. One process captures, others
 * of the same slot stand by. Error: OPTION_INVALID.
 *
 * @example
 * export const productCapture = capture("product-capture", {
 *   url: "postgres://capture@localhost/old-shop",
 *   tables: [captured("products", { columns: { id: "text", price: "text" }, event: ProductChanged, map: (change) => … })],
 * });
 */
export function capture<const Tables extends readonly CapturedTable[]>(
  name: string,
  options: CaptureOptions<Tables>,
): CaptureService<ContractOf<Tables>> {
  const settings = settingsOf(name, options);
  const contracts = [...new Set(options.tables.map(({ contract }) => contract as Event | Stream))];
  return Object.freeze({
    name,
    uses: {
      publishes: contracts.filter(({ kind }) => kind === "event"),
      appends: contracts.filter(({ kind }) => kind === "stream"),
    },
    bindings: [],
    place: placeOutside(2),
    sql: setupSql(settings),
    capture: {
      name: settings.name,
      open: async (host: CaptureHost) => {
        const opened = new PostgresCapture(settings, host);
        await opened.check();
        return opened;
      },
    },
  }) as CaptureService<any>;
}
