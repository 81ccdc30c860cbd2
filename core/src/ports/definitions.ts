import type { Topology } from "./transport.ts";

/** What an operator creates, so that applications need not: in the words of the broker's own tools. */
export interface Definitions {
  /** What it is called in a folder: `definitions.json`. */
  readonly file: string;
  /** How it is brought onto the broker. */
  readonly apply: string;
  /** Plain data, to be written as JSON. */
  readonly data: unknown;
}

/** Something on the broker that is not as it must be. */
export interface Discrepancy {
  /** What it concerns, as `addressOf` writes it, or the broker's own name of what stands behind several. */
  readonly address: string;
  readonly fault: "missing" | "different";
  /** What is wrong, and what to do. */
  readonly message: string;
}

/** What has to be there although no process is: everything that does not end with the one that declared it. */
export function permanentPart({ queues, topics, subscriptions, streams }: Topology): Topology {
  return {
    queues: queues.filter(({ temporary }) => temporary !== true),
    topics,
    subscriptions: subscriptions.filter(({ temporary }) => temporary !== true),
    streams,
  };
}

/** The rest: what ends with this process. */
export function temporaryPart({ queues, subscriptions }: Topology): Topology {
  return {
    queues: queues.filter(({ temporary }) => temporary === true),
    topics: [],
    subscriptions: subscriptions.filter(({ temporary }) => temporary === true),
    streams: [],
  };
}
