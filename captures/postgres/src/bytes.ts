import { WaybillError } from "@waybill/core";

// What is no UTF-8 must not become other text in silence, and a byte order mark in a column is data.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads what the server has sent, and never beyond its end. Error: DECODE_FAILED. */
export class Bytes {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  character(): string {
    return String.fromCharCode(this.byte());
  }

  int16(): number {
    return this.#bytes.readUInt16BE(this.#take(2));
  }

  int32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  int64(): bigint {
    return this.#bytes.readBigInt64BE(this.#take(8));
  }

  lsn(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8));
  }

  /** Up to a zero byte. */
  name(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw broken("a name has no end");
    const text = this.text(end - this.#at);
    this.#at += 1;
    return text;
  }

  text(length: number): string {
    const from = this.#take(length);
    try {
      return utf8.decode(this.#bytes.subarray(from, from + length));
    } catch (cause) {
      throw broken("a text is not UTF-8; see that the database's encoding is UTF8", cause);
    }
  }

  skip(length: number): void {
    this.#take(length);
  }

  #take(length: number): number {
    const from = this.#at;
    if (from + length > this.#bytes.length)
      throw broken(`${length} bytes are wanted where ${this.#bytes.length - from} are left`);
    this.#at = from + length;
    return from;
  }
}

export function broken(what: string, cause?: unknown): WaybillError {
  return new WaybillError(
    "DECODE_FAILED",
    `A message of the replication line cannot be read: ${what}. Nothing is skipped; report it with the version of the server.`,
    cause === undefined ? {} : { cause },
  );
}
