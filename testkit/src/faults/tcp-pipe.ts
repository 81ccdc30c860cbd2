import type { Socket } from "node:net";
import { systemEnvironment } from "@waybill/core";
import { reallyWait } from "../environment.ts";

// Sockets live in real time, whatever clock a test has.
const { clock, timers } = systemEnvironment;

/** What the proxy does to bytes on their way. */
export interface TcpShape {
  /** Milliseconds that every byte takes longer. Default 0. */
  readonly latencyMs?: number;
  /** Most bytes that are passed on at once; 1 tears every frame apart. Default: as they come. */
  readonly chunkBytes?: number;
  /** Bytes per second, each way of each connection. Default: no limit. */
  readonly bytesPerSecond?: number;
}

interface Piece {
  readonly bytes: Buffer;
  /** Monotonic milliseconds, before which it is not passed on. */
  readonly due: number;
}

/** Bytes that wait inside one pipe before it stops reading, so that a stopped reader is felt by the writer. */
const heldBytesMax = 262_144;

/** One way of one connection: reads from one socket, writes to the other, and does on the way what the proxy asks for. */
export class TcpPipe {
  shape: TcpShape = {};
  /** Reads and forgets. */
  swallowing = false;
  readonly #source: Socket;
  readonly #sink: Socket;
  readonly #onCut: () => void;
  readonly #pieces: Piece[] = [];
  #heldBytes = 0;
  #frozen: PromiseWithResolvers<void> | undefined;
  #bytesLeft = Infinity;
  #freeAt = 0;
  #ended = false;
  #pumping = false;

  constructor(source: Socket, sink: Socket, onCut: () => void) {
    this.#source = source;
    this.#sink = sink;
    this.#onCut = onCut;
    source.on("data", (bytes: Buffer) => this.#take(bytes));
    source.on("end", () => {
      this.#ended = true;
      this.#start();
    });
  }

  /** Holds everything back without closing anything. */
  freeze(): void {
    this.#frozen ??= Promise.withResolvers();
  }

  thaw(): void {
    this.#frozen?.resolve();
    this.#frozen = undefined;
  }

  /** Cuts the connection when so many more bytes have passed. */
  cutAfter(bytes: number): void {
    this.#bytesLeft = bytes;
  }

  #take(bytes: Buffer): void {
    if (this.swallowing) return;
    const { latencyMs = 0, bytesPerSecond } = this.shape;
    const now = clock.monotonic();
    const transferMs = bytesPerSecond === undefined ? 0 : (bytes.length / bytesPerSecond) * 1_000;
    this.#freeAt = Math.max(this.#freeAt, now) + transferMs;
    this.#pieces.push({ bytes, due: this.#freeAt + latencyMs });
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > heldBytesMax) this.#source.pause();
    this.#start();
  }

  #start(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    void this.#pump();
  }

  async #pump(): Promise<void> {
    for (let piece = this.#pieces.shift(); piece !== undefined; piece = this.#pieces.shift()) {
      const waitMs = piece.due - clock.monotonic();
      if (waitMs > 0) await reallyWait(waitMs);
      await this.#pass(piece.bytes);
      this.#heldBytes -= piece.bytes.length;
      if (this.#heldBytes <= heldBytesMax) this.#source.resume();
    }
    this.#pumping = false;
    if (this.#ended) this.#sink.end();
  }

  async #pass(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      await this.#frozen?.promise;
      if (this.#sink.destroyed || this.swallowing) return;
      const { chunkBytes = bytes.length } = this.shape;
      const end = at + Math.min(chunkBytes, this.#bytesLeft);
      const chunk = bytes.subarray(at, end);
      at += chunk.length;
      this.#bytesLeft -= chunk.length;
      const roomy = this.#sink.write(chunk);
      if (this.#bytesLeft <= 0) {
        // What was written must have left before the connection is reset, else the cut would be before it.
        await turnOver();
        return this.#onCut();
      }
      if (!roomy) await drained(this.#sink);
      else if (at < bytes.length) await turnOver();
    }
  }
}

/** Lets sockets do what they were told. */
function turnOver(): Promise<void> {
  return new Promise((resolve) => timers.soon(resolve));
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("drain", resolve);
    socket.once("close", resolve);
  });
}
