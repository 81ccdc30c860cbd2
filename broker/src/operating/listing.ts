import {
  type Body,
  type ListQuery,
  type MessageState,
  type StoredMessage,
  WaybillError,
} from "@waybill/core";
import type { Address } from "../addresses.ts";
import { decode, decodeFailure } from "../storage/codec.ts";
import type { Connection } from "../storage/connection.ts";
import { offsetOf, placeOf } from "../streams/places.ts";
import { type AsideRow, seqOf } from "./whereabouts.ts";

interface Found {
  readonly seq: number;
  readonly address: number;
  readonly attempt: number;
  readonly origin?: number | null;
}

interface ContentRow {
  readonly enqueued_at: number;
  readonly header: string;
  readonly body: Body;
  readonly failure: string | null;
}

/**
 * Messages of one state, oldest first. The items of a stream that a group has still to read follow what was replayed to it,
 * partition by partition, and only when its address is asked for: they are no messages of their own.
 */
export function listMessages(
  connection: Connection,
  { state, address, after, limit }: ListQuery,
): StoredMessage[] {
  const { addresses, sql } = connection;
  const wanted = [...addresses.all()].filter(
    ({ name }) => address === undefined || name === address,
  );
  const position = positionOf(after);
  const messages =
    position.place === undefined
      ? wanted.flatMap((each) => find(connection, each, { state, after: position.seq, limit }))
      : [];
  messages.sort((left, right) => left.seq - right.seq);
  const listed = messages.slice(0, limit).flatMap((found): StoredMessage[] => {
    const content = sql.contentOf.get(found.seq) as ContentRow | undefined;
    // It may have been settled between the two reads.
    if (content === undefined) return [];
    return [
      stored(content, {
        handle: String(found.seq),
        address: addresses.get(found.address)?.name ?? "",
        origin: addresses.get(found.origin ?? 0)?.name,
        state,
        attempt: found.attempt,
      }),
    ];
  });
  const [group] = wanted;
  if (
    address === undefined ||
    group?.kind !== "stream" ||
    state !== "ready" ||
    listed.length >= limit
  )
    return listed;
  return [
    ...listed,
    ...unread(connection, group, { after: position.place, limit: limit - listed.length }),
  ];
}

/** The dead or deferred message of that handle. */
export function asideMessage(
  { addresses, sql }: Connection,
  handle: string,
): StoredMessage | undefined {
  const seq = seqOf(handle);
  const dead = sql.deadOf.get(seq) as AsideRow | undefined;
  const row = dead ?? (sql.deferredOf.get(seq) as AsideRow | undefined);
  const content = sql.contentOf.get(seq) as ContentRow | undefined;
  if (row === undefined || content === undefined) return undefined;
  const address = addresses.get(row.address)?.name ?? "";
  const state = dead === undefined ? "deferred" : "dead";
  const origin = addresses.get(row.origin ?? 0)?.name;
  return stored(content, { handle: String(seq), address, origin, state, attempt: row.attempt });
}

function find(
  { sql }: Connection,
  { id, keepsSessions }: Address,
  query: { state: MessageState; after: number; limit: number },
): Found[] {
  const statement = {
    ready: sql.listReady,
    inFlight: sql.listLocked,
    scheduled: sql.listScheduled,
    deferred: sql.listDeferred,
    dead: sql.listDead,
  }[query.state];
  const inSessions = query.state === "ready" && keepsSessions;
  const statements = inSessions ? [statement, sql.listReadySessions] : [statement];
  const rows = statements.flatMap(
    (each) => each.all(id, query.after, query.limit) as unknown as Omit<Found, "address">[],
  );
  return rows.map((row) => ({ ...row, address: id }));
}

interface ItemRow extends ContentRow {
  readonly place: number;
}

function unread(
  { sql }: Connection,
  group: Address,
  { after, limit }: { after: number | undefined; limit: number },
): StoredMessage[] {
  const cursors = sql.cursorsOf.all(group.id) as unknown as {
    partition: number;
    committed: number;
    delivered: number;
  }[];
  const listed: StoredMessage[] = [];
  for (const { partition, committed, delivered } of cursors) {
    const from = Math.max(placeOf(partition, Math.max(committed, delivered)), (after ?? -1) + 1);
    const left = limit - listed.length;
    if (left <= 0) break;
    for (const row of sql.listItems.all(
      from,
      placeOf(partition + 1, 0),
      left,
    ) as unknown as ItemRow[]) {
      const handle = `${partition}:${offsetOf(row.place)}`;
      listed.push(
        stored(
          { ...row, failure: null },
          { handle, address: group.name, origin: undefined, state: "ready", attempt: 0 },
        ),
      );
    }
  }
  return listed;
}

function stored(
  { enqueued_at: enqueuedAt, header, body, failure }: ContentRow,
  rest: Pick<StoredMessage, "handle" | "address" | "origin" | "state" | "attempt">,
): StoredMessage {
  return { ...rest, envelope: decode(header, body), enqueuedAt, failure: decodeFailure(failure) };
}

/** A handle is the number of a message, or `partition:offset` of an item. */
function positionOf(after: string | undefined): { seq: number; place: number | undefined } {
  if (after === undefined) return { seq: 0, place: undefined };
  const [first, second] = after.split(":").map(Number);
  if (
    first === undefined ||
    !Number.isSafeInteger(first) ||
    (second !== undefined && !Number.isSafeInteger(second))
  ) {
    throw new WaybillError(
      "OPTION_INVALID",
      `list({ after }) takes the handle of a message that was listed before, not "${after}".`,
    );
  }
  return { seq: first, place: second === undefined ? undefined : placeOf(first, second) };
}
