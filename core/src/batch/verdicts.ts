import { WaybillError } from "../errors.ts";
import { type Outcome, complete } from "../handling/outcome.ts";
import type { Outgoing } from "../ports/transport.ts";
import type { Member } from "./member.ts";

/** What is to become of one message: what it was marked with, that it is complete, or why it failed. */
export type Verdict =
  | { readonly member: Member; readonly outcome: Outcome }
  | { readonly member: Member; readonly error: unknown };

/**
 * Hands verdicts to the messages of one batch so that nothing passes in a lane: behind a message that may still fail to settle the next one of its
 * lane waits, and behind one that waits for its next attempt all are held back.
 */
export class Verdicts {
  readonly #holdBack: (member: Member) => Promise<void>;
  /** By lane: the last message that may still fail to settle. */
  readonly #gates = new Map<string, Promise<void>>();
  readonly #blocked = new Set<string>();

  constructor(holdBack: (member: Member) => Promise<void>) {
    this.#holdBack = holdBack;
  }

  /** Those of them that may run now, in their order. The others are ended or held back. */
  async present(members: readonly Member[]): Promise<readonly Member[]> {
    const present: Member[] = [];
    for (const member of members) {
      const gate = this.#gateOf(member);
      if (gate !== undefined) await gate;
      if (member.hasEnded) {
        await member.finish();
        this.#look(member);
      } else if (this.#isBlocked(member)) await this.#holdBack(member);
      else if (member.entry.over) {
        await member.fail(overError(member));
        this.#look(member);
      } else present.push(member);
    }
    return present;
  }

  /** In the order given. Does not wait for settlements but where order needs it. */
  deliver(verdicts: readonly Verdict[]): void {
    for (const verdict of verdicts) this.#hand(verdict);
  }

  /**
   * Completes one of the messages together with `send`, before the others: so nobody else can be complete while that has not left. When the
   * lock of one is lost, or the broker does not say, the next one carries it. Answers what is left to deliver.
   */
  async carry(
    verdicts: readonly Verdict[],
    send: readonly Outgoing[],
  ): Promise<readonly Verdict[]> {
    const left = [...verdicts];
    for (;;) {
      const index = left.findIndex((verdict) => isComplete(verdict));
      const carrier = left[index];
      if (carrier === undefined) return left;
      const { member } = carrier;
      const { message } = member;
      this.deliver(left.splice(0, index));
      left.shift();
      await this.#gateOf(member);
      if (message === undefined || this.#isBlocked(member) || member.entry.over) {
        await this.#apply(carrier);
        continue;
      }
      message.held = [...send, ...message.held];
      await this.#apply(carrier);
      const { trouble } = message;
      if (trouble === undefined) return left;
      if (trouble === "lockLost" || trouble === "unknown") continue;
      return left.map((each) =>
        isComplete(each) ? { member: each.member, error: trouble } : each,
      );
    }
  }

  #hand(verdict: Verdict): void {
    const { member } = verdict;
    const gate = this.#gateOf(member);
    if (gate === undefined) {
      const ended = this.#apply(verdict);
      if (member.lane !== undefined && mayFail(verdict)) this.#gates.set(member.lane, ended);
    } else if (member.lane !== undefined)
      this.#gates.set(
        member.lane,
        gate.then(() => this.#apply(verdict)),
      );
  }

  async #apply(verdict: Verdict): Promise<void> {
    const { member } = verdict;
    if (this.#isBlocked(member)) return this.#holdBack(member);
    if (member.entry.lost) await member.fail(overError(member));
    else if ("error" in verdict) await member.fail(verdict.error);
    else await member.decide(verdict.outcome);
    this.#look(member);
  }

  /** One that is to run again, or whose end nobody knows, holds up its lane. */
  #look({ lane, ending }: Member): void {
    if (lane !== undefined && ending?.outcome === "retry") this.#blocked.add(lane);
  }

  #isBlocked({ lane }: Member): boolean {
    return lane !== undefined && this.#blocked.has(lane);
  }

  #gateOf({ lane }: Member): Promise<void> | undefined {
    return lane === undefined ? undefined : this.#gates.get(lane);
  }
}

export function completed(member: Member): Verdict {
  return { member, outcome: complete() };
}

function isComplete(verdict: Verdict): boolean {
  return "outcome" in verdict && verdict.outcome.outcome === "complete";
}

/** A completion that sends nothing is refused by no transport. */
function mayFail(verdict: Verdict): boolean {
  return !isComplete(verdict) || (verdict.member.message?.held.length ?? 0) > 0;
}

function overError({ entry }: Member): WaybillError {
  return entry.lost
    ? new WaybillError("LOCK_LOST", "The lock of this message was lost before its batch ran.")
    : new WaybillError("CLOSED", "The bus is closing and its deadline has passed.");
}
