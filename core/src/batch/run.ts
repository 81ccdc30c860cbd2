import type { Entry } from "../handling/entry.ts";
import { WaybillError } from "../errors.ts";
import type { OpenContext } from "../context.ts";
import { HandlerContext } from "../handling/handler-context.ts";
import type { Incoming, Lifetime } from "../handling/message.ts";
import { type Outcome, toOutcome } from "../handling/outcome.ts";
import { addressOf } from "../ports/transport.ts";
import type { Route } from "../wiring/route.ts";
import type { Runtime } from "../runtime.ts";
import type { Speech } from "../speaking/speech.ts";
import { judge, mayRetry } from "../handling/taxonomy.ts";
import { isThenable } from "../thenable.ts";
import type { TimeLimit } from "../handling/time-limit.ts";
import type { BatchItem } from "./batch.ts";
import type { Member } from "./member.ts";
import { type Verdict, Verdicts, completed } from "./verdicts.ts";

export interface BatchParts {
  readonly route: Route;
  readonly runtime: Runtime;
  readonly speech: Speech;
  /** Begins the pipeline of one message. */
  readonly begin: (entry: Entry) => Outcome | Promise<Outcome>;
  readonly limit: TimeLimit | undefined;
  /** Keeps a message until those before it in its lane are done. */
  readonly holdBack: (member: Member) => Promise<void>;
}

/** One closed batch, from the judgement of its messages to what becomes of each. */
export class BatchRun {
  readonly #members: readonly Member[];
  readonly #parts: BatchParts;
  readonly #verdicts: Verdicts;

  constructor(members: readonly Member[], parts: BatchParts) {
    this.#members = members;
    this.#parts = parts;
    this.#verdicts = new Verdicts(parts.holdBack);
  }

  /** Resolves when the handler has nothing more to do with them; settlements may still be on their way. Never rejects. */
  async run(): Promise<void> {
    const { begin, route } = this.#parts;
    await Promise.all(this.#members.map((member) => member.begin(begin)));
    await this.#attempt(this.#members, route.policy.immediate);
  }

  /**
   * A failure that is not the messages' own (a refused connection) fails them all, after the immediate runs of the policy. Any other may be the fault of
   * one, and so may any at all when it would be the last: the batch runs again by halves until that one fails alone.
   */
  async #attempt(members: readonly Member[], immediate: number): Promise<void> {
    const present = await this.#verdicts.present(members);
    if (present.length === 0) return;
    const call = new BatchCall(present, this.#parts);
    const failure = await call.run();
    if (failure === undefined) return this.#succeed(call);
    const { decided, undecided } = split(call);
    this.#verdicts.deliver(decided);
    if (undecided.length === 0) return;
    const { kind, reason } = judge(failure.error);
    const isTheirs =
      (kind !== "retryable" && kind !== "throttled" && kind !== "ambiguous") ||
      undecided.some(({ entry }) => entry.attempt >= this.#parts.route.policy.attempts);
    // A run that was given up may still be at work.
    const isLater = kind === "throttled" || reason === "HANDLER_TIMED_OUT";
    if (isTheirs && undecided.length > 1) {
      const middle = Math.ceil(undecided.length / 2);
      await this.#again(undecided);
      await this.#attempt(undecided.slice(0, middle), this.#parts.route.policy.immediate);
      await this.#attempt(undecided.slice(middle), this.#parts.route.policy.immediate);
    } else if (immediate > 0 && mayRetry(kind) && !isLater) {
      await this.#again(undecided);
      await this.#attempt(undecided, immediate - 1);
    } else this.#verdicts.deliver(undecided.map((member) => ({ member, error: failure.error })));
  }

  async #succeed(call: BatchCall): Promise<void> {
    const verdicts = call.members.map((member) => call.markOf(member) ?? completed(member));
    const left =
      call.held.length === 0 ? verdicts : await this.#verdicts.carry(verdicts, call.held);
    this.#verdicts.deliver(left);
  }

  async #again(members: readonly Member[]): Promise<void> {
    const { counters } = this.#parts.runtime;
    counters.of(this.#parts.route.contract.name).failed += 1;
    await Promise.all(members.map((member) => member.again()));
  }
}

/** After a throw: marked messages are decided, unless one of their lane that stands before them is not. */
function split(call: BatchCall): { decided: readonly Verdict[]; undecided: readonly Member[] } {
  const decided: Verdict[] = [];
  const undecided: Member[] = [];
  const open = new Set<string>();
  for (const member of call.members) {
    const mark = call.markOf(member);
    if (mark !== undefined && (member.lane === undefined || !open.has(member.lane)))
      decided.push(mark);
    else {
      undecided.push(member);
      if (member.lane !== undefined) open.add(member.lane);
    }
  }
  return { decided, undecided };
}

/** One run of the handler. */
class BatchCall {
  readonly members: readonly Member[];
  readonly #parts: BatchParts;
  readonly #marks = new Map<Member, Outcome>();
  readonly #scope: Incoming;
  #isOpen = true;

  constructor(members: readonly Member[], parts: BatchParts) {
    this.members = members;
    this.#parts = parts;
    this.#scope = scopeOf(members, parts.route);
  }

  /** What the handler sent for the batch as a whole. */
  get held(): Incoming["held"] {
    return this.#scope.held;
  }

  markOf(member: Member): Verdict | undefined {
    const outcome = this.#marks.get(member);
    return outcome === undefined ? undefined : { member, outcome };
  }

  /** Answers what was thrown. */
  async run(): Promise<{ readonly error: unknown } | undefined> {
    const { runtime, route } = this.#parts;
    const { telemetry } = runtime;
    try {
      if (telemetry === undefined) await this.#handle();
      else {
        const headers = this.members.map(({ entry }) => entry.delivery.envelope.header);
        const details = { destination: addressOf(route.source), service: route.service };
        await telemetry.receivedBatch(headers, details, () => this.#handle());
      }
      return undefined;
    } catch (error) {
      return { error };
    }
  }

  async #handle(): Promise<void> {
    const { route, speech, runtime, limit } = this.#parts;
    const context = new HandlerContext(this.#scope, speech, runtime);
    const contexts = this.members.flatMap(({ message }) => message?.context ?? []);
    try {
      const items = this.members.map((member) => this.#itemOf(member));
      const work: unknown = route.binding.handler(items, context);
      const result = await (limit === undefined || !isThenable(work)
        ? work
        : limit(work, [context, ...contexts]));
      for (const each of [context, ...contexts]) {
        const held = each.held();
        if (held !== undefined) await held;
      }
      if (toOutcome(result).outcome !== "complete")
        throw new TypeError(
          `${route.handlerName} returned an outcome, which would be for all of its messages. Mark each: item.mark(retry()).`,
        );
    } catch (error) {
      await this.#checkMarks(error);
      throw error;
    } finally {
      this.#isOpen = false;
      for (const each of [context, ...contexts]) each.close();
    }
  }

  /** A message whose sends were not awaited and were refused is not what it was marked as; after a run that was given up nobody waits for them. */
  async #checkMarks(error: unknown): Promise<void> {
    const isGivenUp = judge(error).reason === "HANDLER_TIMED_OUT";
    for (const member of this.#marks.keys()) {
      const held = member.message?.context?.held();
      if (held === undefined) continue;
      try {
        if (isGivenUp) throw error;
        await held;
      } catch {
        this.#marks.delete(member);
      }
    }
  }

  #itemOf(member: Member): BatchItem<unknown, OpenContext | undefined> {
    return {
      value: member.message?.value,
      context: member.message?.context,
      mark: (outcome) => {
        if (!this.#isOpen)
          throw new WaybillError(
            "CLOSED",
            `A message was marked after ${this.#parts.route.handlerName} had ended. Await everything inside the handler.`,
          );
        this.#marks.set(member, toOutcome(outcome));
      },
    };
  }
}

/** What does not belong to a single message. It speaks in the conversation of the first. */
function scopeOf(members: readonly Member[], route: Route): Incoming {
  const [first] = members;
  return {
    route,
    envelope: (first as Member).entry.delivery.envelope,
    delivery: undefined,
    lifetime: new SharedLifetime(members.map(({ entry }) => entry)),
    attempt: 1,
    failure: undefined,
    value: undefined,
    context: undefined,
    held: [],
    output: undefined,
    upstream: undefined,
    resumeFrom: undefined,
  };
}

/** Ends when the last of them does. */
class SharedLifetime implements Lifetime {
  readonly #entries: readonly Entry[];

  constructor(entries: readonly Entry[]) {
    this.#entries = entries;
  }

  get over(): boolean {
    return this.#entries.every(({ over }) => over);
  }

  onSignal(abort: (reason: unknown) => void): void {
    let left = this.#entries.length;
    for (const entry of this.#entries) {
      entry.onSignal((reason) => {
        left -= 1;
        if (left === 0) abort(reason);
      });
    }
  }
}
