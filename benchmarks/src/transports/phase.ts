/** What each process of these benchmarks is told. */
export interface PhaseSettings {
  readonly role: "producer" | "consumer";
  readonly url: string;
  /** Begins the names of all that is made on the server. */
  readonly prefix: string;
  /** Messages that are confirmed together. */
  readonly batch: number;
  /** Batches at a time. */
  readonly lanes: number;
  readonly prefetch: number;
  /** Whether a client that need not wait for its acknowledgements to be confirmed does. */
  readonly confirmed?: boolean;
}

/** From the first send to the last confirmation, or from the first delivery to the last acknowledgement. */
export interface Phase {
  readonly beganAt: number;
  readonly endedAt: number;
  readonly duplicates: number;
}
