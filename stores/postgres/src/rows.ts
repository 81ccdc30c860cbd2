import type { Header, Outgoing, OutboxRow } from "@waybill/core";

/** A row of `waybill_outbox`, as it is read; `key` is a bigint, which the client gives as text. */
export interface StoredRow {
  readonly key: string;
  readonly kind: Outgoing["to"]["kind"];
  readonly name: string;
  readonly header: string;
  readonly body: Buffer;
  readonly is_text: boolean;
  readonly not_before: number | null;
  readonly not_after: number | null;
  readonly stream: string | null;
}

export interface StoredAside extends StoredRow {
  readonly reason: string;
  readonly message: string;
}

export function readRow(row: StoredRow): OutboxRow {
  const { kind, name, header, body, not_before: notBefore } = row;
  const { not_after: notAfter, stream } = row;
  return {
    key: Number(row.key),
    outgoing: {
      to: { kind, name },
      envelope: {
        header: JSON.parse(header) as Header,
        body: row.is_text ? body.toString("utf8") : new Uint8Array(body),
      },
      ...(notBefore !== null && { notBefore }),
      ...(notAfter !== null && { notAfter }),
    },
    // Whoever reads it does not know what stood before it when it was written.
    ...(stream !== null && { stream, isBehind: true }),
  };
}

/** The parameters of one row after its owner. Text goes as bytes, because PostgreSQL's text takes no zero character. */
export function parametersOf({ to, envelope, notBefore, notAfter }: Outgoing): unknown[] {
  const { header, body } = envelope;
  const isText = typeof body === "string";
  return [
    to.kind,
    to.name,
    JSON.stringify(header),
    isText ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength),
    isText,
    notBefore ?? null,
    notAfter ?? null,
  ];
}
