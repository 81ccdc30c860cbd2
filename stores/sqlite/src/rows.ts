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
}

export interface StoredAside extends StoredRow {
  readonly reason: string;
  readonly message: string;
}

export function readRow(row: StoredRow): OutboxRow {
  const { key, kind, name, header, body, not_before: notBefore, not_after: notAfter } = row;
  return {
    key,
    outgoing: {
      to: { kind, name },
      envelope: { header: JSON.parse(header) as Header, body },
      ...(notBefore !== null && { notBefore }),
      ...(notAfter !== null && { notAfter }),
    },
  };
}
