import type { MsgHdrs } from "@nats-io/transport-node";

const firstLine = "NATS/1.0";
const nameFit = /^[\x21-\x39\x3b-\x7e]+$/;

/** Headers of a message on its way out. Those of nats.js look at all others for each one that is set, and cost more than the rest of a message. */
export class HeaderLines {
  #lines = firstLine;

  /** Of what was added so far. */
  get bytes(): number {
    return this.#lines.length;
  }

  /** The value is printable ASCII, and nothing has that name yet. A name that cannot be written is left out. */
  add(name: string, value: string): void {
    if (nameFit.test(name)) this.#lines += `\r\n${name}: ${value}`;
  }

  /** With one more, for a connection to write. */
  with(name: string, value: string): MsgHdrs {
    return new Encoded(`${this.#lines}\r\n${name}: ${value}\r\n\r\n`) as unknown as MsgHdrs;
  }
}

/** All that nats.js asks of headers when it publishes. */
class Encoded {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  encode(): Uint8Array {
    return Buffer.from(this.#text, "latin1");
  }
}
