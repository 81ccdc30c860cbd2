import type { Envelope } from "../envelope.ts";

/** Calls and serves. One side asks and waits, the other answers: in process, over a transport, or by a protocol of its own. */
export interface Channel extends AsyncDisposable {
  readonly name: string;
  /** Resolves with the answer's envelope, an error's included. Rejects with the signal's reason when it is aborted first. */
  call(request: Envelope, options: CallSettings): Promise<Envelope>;
  /**
   * Items in order, each once, and the server's error as an envelope. Rejects with the signal's reason when it is aborted first, and with a
   * retryable error when the connection is lost. Returning early tells the server to stop.
   */
  open(request: Envelope, options: OpenSettings): AsyncIterable<Envelope>;
  /** Starts to answer what is addressed to `address`. */
  serve(address: string, responder: Responder, options: ServeSettings): Promise<Serving>;
}

export interface CallSettings {
  readonly signal: AbortSignal;
}

export interface OpenSettings {
  readonly signal: AbortSignal;
  readonly upstream: AsyncIterable<Envelope> | undefined;
  /** Most items sent by the server and not yet taken by the caller. */
  readonly bufferMax: number;
}

/** What stands behind an address: exactly one of the two, by the contract's kind. Neither rejects: a failure is an envelope too. */
export interface Responder {
  /** Which of the two. */
  readonly verb: "answer" | "serve";
  answer(request: Envelope, call: IncomingCall): Promise<Envelope>;
  serve(request: Envelope, call: IncomingCall): AsyncIterable<Envelope>;
  /** Waits until the handler of a feed has ended after its caller left, but no longer than a second: then it is given up, and counted as overdue until it ends. */
  release(ending: Promise<unknown>): Promise<void>;
}

export interface IncomingCall {
  /** Registers what to do when the caller gives up. Calling it tells the channel that cancelling is of use. */
  onCancel(callback: (reason: unknown) => void): void;
  readonly upstream: AsyncIterable<Envelope>;
}

export interface ServeSettings {
  readonly concurrency: number;
  readonly prefetch: number;
  readonly lockMs: number;
}

export interface Serving {
  /** No new calls; resolves when the running ones have ended or `deadlineMs` has passed, and says how many were left. */
  stop(deadlineMs: number): Promise<number>;
  /** No new calls through this channel until `resume()`; what came before is answered. */
  pause(): void;
  resume(): void;
  /** Feeds that are open now. */
  readonly feeds: number;
}

/** The `type` of the envelopes that carry answers and the traffic of a feed. */
export type FrameType =
  | "waybill.answer"
  | "waybill.error"
  | "waybill.accepted"
  | "waybill.cancel"
  | "waybill.item"
  | "waybill.end"
  | "waybill.closing"
  | "waybill.credit"
  | "waybill.upstream-item"
  | "waybill.upstream-end";
