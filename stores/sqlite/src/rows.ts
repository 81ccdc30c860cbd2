import type { Body, Header, Outgoing, OutboxRow } from "@waybill/core";

/** A row of `waybill_outbox`, as it is read. */
export interface StoredRow {
  readonly key: number;
  readonly kind: Outgoing["to"]["kind"];
  readonly name: string;
  readonly header: string;
  readonly body: Body;
  readonly not_before: number | null;
  readonly not_after: number | null;
  readonly stream: string | null;
}

export interface StoredAside extends StoredRow {
  readonly reason: string;
  readonly message: string;
}

export function readRow(row: StoredRow): OutboxRow {
  const { key, kind, name, header, body, not_before: notBefore } = row;
  const { not_after: notAfter, stream } = row;
  return {
    key,
    outgoing: {
      to: { kind, name },
      envelope: { header: JSON.parse(header) as Header, body },
      ...(notBefore !== null && { notBefore }),
      ...(notAfter !== null && { notAfter }),
    },
    // Whoever reads it does not know what stood before it when it was written.
    ...(stream !== null && { stream, isBehind: true }),
  };
}
