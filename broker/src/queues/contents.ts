import type { Body, Position, Source } from "@waybill/core";
import { decode, decodeFailure } from "../storage/codec.ts";
import { offsetOf, partitionOf } from "../streams/places.ts";
import type { Claimer, Locked } from "./claim.ts";
import { QueueDelivery } from "./delivery.ts";

/** A message that waits, or waited until it was locked; `attempt` as it stood then. */
export type LockedRow = readonly [
  seq: number,
  bytes: number,
  expires: number | null,
  attempt: number,
];

/** What one claim locked of one line, oldest first; never empty. */
export interface LockedLine {
  readonly line: number;
  readonly address: number;
  /** Name of the session whose line it is. */
  readonly session: string | undefined;
  readonly rows: readonly LockedRow[];
}

type ContentRow = readonly [
  seq: number,
  enqueuedAt: number,
  header: string,
  body: Body,
  place: number | null,
  failure: string | null,
];

/**
 * What was locked, as it is delivered. What the lease has lost meanwhile is not among it. Throws STORAGE_INVALID for a message that is not
 * what was stored, and what SQLite throws.
 */
export function readContents(claimer: Claimer, { grant, lines }: Locked): QueueDelivery[] {
  const batch: QueueDelivery[] = [];
  for (const line of lines) readLine(claimer, { lease: grant.id, line }, batch);
  return batch;
}

function readLine(
  claimer: Claimer,
  { lease, line: { line, address, session, rows } }: { lease: number; line: LockedLine },
  batch: QueueDelivery[],
): void {
  const first = rows[0]?.[0] ?? 0;
  const last = rows.at(-1)?.[0] ?? 0;
  const { sql } = claimer.connection;
  const contents = sql.lockedContents.all(lease, first, last, line) as unknown as ContentRow[];
  let next = 0;
  for (const [seq, enqueuedAt, header, body, place, failure] of contents) {
    // Between them stands what the lease holds since an earlier claim.
    while ((rows[next]?.[0] ?? Number.POSITIVE_INFINITY) < seq) next += 1;
    const row = rows[next];
    if (row?.[0] !== seq) continue;
    const [, bytes, expires, attempt] = row;
    const claimed = { seq, lease, address, line, bytes, expires };
    const content = {
      envelope: decode(header, body),
      attempt: attempt + 1,
      enqueuedAt,
      failure: decodeFailure(failure),
      position: place === null ? undefined : positionOf(claimer, claimer.source, place),
      session,
    };
    batch.push(new QueueDelivery(claimer, claimed, content));
  }
}

function positionOf({ connection }: Claimer, source: Source, place: number): Position {
  const partitions = connection.addresses.stream(source.name)?.partitions ?? [];
  return { partition: partitions.indexOf(partitionOf(place)), offset: offsetOf(place) };
}
