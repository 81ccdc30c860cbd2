import { isUtf8 } from "node:buffer";

/** Deeper than any data that people model, and far from where recursive code (a schema) runs out of stack. */
export const depthMax = 500;

/** The one extension type that is understood: the timestamp of the specification. */
const timestampType = -1;

/**
 * Walks a body without building anything, so that what it claims to hold costs nothing before it is seen to be there: a header of five
 * bytes can announce four billion elements. Throws a TypeError that says what is wrong: truncated, bytes left over, too deep, text that
 * is not UTF-8, an extension that is not a timestamp, an integer that a number cannot hold.
 */
export function checkShape(body: Uint8Array): void {
  new Walk(body).all();
}

class Walk {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  /** Values still to come, on each level. */
  readonly #left: number[] = [1];

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  all(): void {
    const left = this.#left;
    while (left.length > 0) {
      const level = left.length - 1;
      if (left[level] === 0) {
        left.pop();
        continue;
      }
      left[level] = (left[level] as number) - 1;
      this.#value();
    }
    if (this.#at !== this.#bytes.length)
      throw new TypeError(`${this.#bytes.length - this.#at} bytes are left over at its end`);
  }

  #value(): void {
    const byte = this.#unsigned(1);
    if (byte <= 0x7f || byte >= 0xe0 || byte === 0xc0 || byte === 0xc2 || byte === 0xc3) return;
    if (byte <= 0x8f) this.#nest((byte & 0x0f) * 2);
    else if (byte <= 0x9f) this.#nest(byte & 0x0f);
    else if (byte <= 0xbf) this.#text(byte & 0x1f);
    else this.#sized(byte);
  }

  #sized(byte: number): void {
    if (byte === 0xc1) throw new TypeError("it holds the byte c1, which means nothing");
    if (byte <= 0xc6) this.#skip(this.#unsigned(1 << (byte - 0xc4)));
    else if (byte <= 0xc9) this.#extension(this.#unsigned(1 << (byte - 0xc7)));
    else if (byte <= 0xcb) this.#skip(byte === 0xca ? 4 : 8);
    else if (byte <= 0xd3) this.#integer(byte);
    else if (byte <= 0xd8) this.#extension(1 << (byte - 0xd4));
    else if (byte <= 0xdb) this.#text(this.#unsigned(1 << (byte - 0xd9)));
    else if (byte <= 0xdd) this.#nest(this.#unsigned(byte === 0xdc ? 2 : 4));
    else this.#nest(this.#unsigned(byte === 0xde ? 2 : 4) * 2);
  }

  #integer(byte: number): void {
    const at = this.#at;
    this.#skip(1 << (byte <= 0xcf ? byte - 0xcc : byte - 0xd0));
    if (byte !== 0xcf && byte !== 0xd3) return;
    const value = byte === 0xcf ? this.#view.getBigUint64(at) : this.#view.getBigInt64(at);
    if (!Number.isSafeInteger(Number(value)))
      throw new TypeError(`it holds the integer ${value}, which no number can hold exactly`);
  }

  #extension(bytes: number): void {
    const at = this.#at;
    this.#skip(1 + bytes);
    const type = this.#view.getInt8(at);
    if (type !== timestampType)
      throw new TypeError(`it holds an extension of type ${type}; only timestamps are known`);
    if (bytes !== 4 && bytes !== 8 && bytes !== 12)
      throw new TypeError(`it holds a timestamp of ${bytes} bytes`);
  }

  #text(bytes: number): void {
    const at = this.#at;
    this.#skip(bytes);
    if (!isUtf8(this.#bytes.subarray(at, this.#at)))
      throw new TypeError("it holds text that is not UTF-8");
  }

  #nest(values: number): void {
    // Each value takes a byte at least, so more than are left cannot be there.
    if (values > this.#bytes.length - this.#at) throw truncated();
    if (this.#left.length > depthMax)
      throw new TypeError(`it is nested deeper than ${depthMax} levels`);
    this.#left.push(values);
  }

  #unsigned(bytes: number): number {
    const at = this.#at;
    this.#skip(bytes);
    if (bytes === 1) return this.#view.getUint8(at);
    return bytes === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #skip(bytes: number): void {
    if (bytes > this.#bytes.length - this.#at) throw truncated();
    this.#at += bytes;
  }
}

function truncated(): TypeError {
  return new TypeError("it ends too early");
}
