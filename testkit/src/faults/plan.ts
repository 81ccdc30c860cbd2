/** How often each fault happens: a share from 0 (never, the default) to 1 (always). */
export interface FaultPlan {
  /** Of messages sent: stored twice under one id, as when a sender repeats itself after a lost confirmation. */
  readonly duplicate?: number;
  /** Of deliveries: handed over late, by up to `delayMsMax`. In a stream what follows waits as well. */
  readonly delay?: number;
  /** Longest delay in milliseconds. Default 1,000. */
  readonly delayMsMax?: number;
  /** Of batches delivered: handed over in another order. Never in a stream. */
  readonly reorder?: number;
  /** Of completions: lost on the way. The answer is `unknown`, nothing was sent with it, and the message comes back. */
  readonly dropSettlement?: number;
  /** Of completions: done, but the answer is lost and says `unknown`. */
  readonly loseAnswer?: number;
  /** Of batches sent: rejected with TRANSPORT_FAILED, nothing stored. */
  readonly failSend?: number;
  /** Of batches sent: stored, but the confirmation is lost and the call rejects with TRANSPORT_FAILED. */
  readonly loseConfirm?: number;
}

export type FaultKind = Exclude<keyof FaultPlan, "delayMsMax">;

/** How many of each were injected. */
export type FaultCounts = Readonly<Record<FaultKind, number>>;
