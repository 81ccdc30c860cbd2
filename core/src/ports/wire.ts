import type { Body, Header } from "../envelope.ts";
import type { Environment } from "./environment.ts";
import type { Logger } from "./logger.ts";
import type { Position } from "./transport.ts";

/**
 * Something done to every body between the codec and the broker: compression, encryption, a signature, a claim check.
 * `connect({ wire: [...] })` seals from left to right and opens from right to left: requests, answers, errors and the
 * frames of feeds alike. Both methods may be called many times at once, and may throw a WaybillError: `UNAUTHORISED`
 * for what must not be trusted, `retryable` for what may succeed later.
 */
export interface WireTransform {
  /** For errors: `compression`. */
  readonly name: string;
  /** The words for it in the header `contentencoding`: letters of lower case, digits and dashes. No two transforms of a bus share one. */
  readonly encodings: readonly string[];
  /** Whether a message that came without it is refused (UNAUTHORISED). */
  readonly required: boolean;
  /** Largest body that it takes, where that is more than the broker's own limit. */
  readonly bodyBytesMax?: number;
  /** Undefined leaves the body as it is. */
  seal(body: Body, departure: Departure): Sealed | undefined | Promise<Sealed | undefined>;
  open(body: Body, arrival: Arrival): Body | Promise<Body>;
}

/** What a transform made of a body. */
export interface Sealed {
  readonly body: Body;
  /** Which of its words the header gets. */
  readonly encoding: string;
  readonly signature?: string;
}

/** A message between codec and broker. What is here is as it will stand, or stood, in the broker. */
export interface Passage {
  readonly header: Header;
  /** Where it is sent: `queue/<name>`, `topic/<name>` or `stream/<name>`. */
  readonly destination: string;
  /** What was done to the body before this transform sealed it, in order. */
  readonly encodings: readonly string[];
  readonly environment: Environment;
  readonly logger: Logger;
}

export type Departure = Passage;

export interface Arrival extends Passage {
  /** The transform's own word. */
  readonly encoding: string;
  /** Undefined when somebody only looks at a stored message. */
  readonly delivery: ArrivingDelivery | undefined;
}

/** The delivery that is being opened. */
export interface ArrivingDelivery {
  /** As `addressOf` writes it. */
  readonly address: string;
  readonly attempt: number;
  /** Where it stands in a stream. */
  readonly position: Position | undefined;
  /** Calls back once: `completed` when the broker has let go of it for good, `back` when it may come again. */
  onEnd(callback: (end: "completed" | "back") => void): void;
}
