import { heldBack } from "../batch/member.ts";
import {
  type Chance,
  type Decision,
  decideOnError,
  decideOnOutcome,
} from "../handling/decision.ts";
import type { ContractCounters } from "../operating/counters.ts";
import { messageOf } from "../errors.ts";
import type { Incoming } from "../handling/message.ts";
import { type Outcome, complete, retry } from "../handling/outcome.ts";
import type { IncomingStep } from "../handling/pipeline.ts";
import type {
  Delivery,
  Outgoing,
  Settled,
  Settlement,
  StateChange,
  Transport,
} from "../ports/transport.ts";
import type { Route } from "../wiring/route.ts";
import type { Runtime } from "../runtime.ts";
import { isThenable } from "../thenable.ts";

/**
 * The outermost step: turns how the others ended into one settlement. Complete carries along what the handler sent,
 * in one transaction where the transport has one, else sent first: then a crash in between repeats, it never loses.
 * Answers `retry` unsettled where the message must wait in place.
 */
export const settle: IncomingStep = {
  name: "settle",
  wrap: (next, route, runtime) => {
    const counted = runtime.counters.of(route.contract.name);
    const act = acting(route, runtime);
    const chance = (): Chance => ({
      now: runtime.environment.clock.now(),
      random: runtime.environment.random(),
    });
    const succeed = (message: Incoming, outcome: Outcome): Outcome | Promise<Outcome> => {
      try {
        const decision =
          outcome.outcome === "complete" ? done : decideOnOutcome(outcome, message, chance());
        if (decision.act === "retry" || decision.act === "deadLetter") counted.failed += 1;
        return act(message, decision, (error) => fail(message, error));
      } catch (error) {
        return fail(message, error);
      }
    };
    /** The handler failed, or what it sent was refused: either way nothing of it has left. */
    const fail = (message: Incoming, error: unknown): Outcome | Promise<Outcome> => {
      message.trouble = error;
      if (error === heldBack) return completed;
      counted.failed += 1;
      message.held = [];
      return act(message, decideOnError(error, message, chance()));
    };
    return (message) => {
      let outcome;
      try {
        outcome = next(message);
      } catch (error) {
        return fail(message, error);
      }
      if (!isThenable(outcome)) return succeed(message, outcome);
      return Promise.resolve(outcome).then(
        (late) => succeed(message, late),
        (error: unknown) => fail(message, error),
      );
    };
  },
};

type Act = (
  message: Incoming,
  decision: Decision,
  refused?: (error: unknown) => Outcome | Promise<Outcome>,
) => Outcome | Promise<Outcome>;

/** Carries a decision out; `refused` says how to go on when what the handler sent was refused. */
function acting({ contract, inPlace, handlerName, options }: Route, runtime: Runtime): Act {
  const park = options.onDeadLetter === "park";
  const counted = runtime.counters.of(contract.name);
  return (message, decision, refused) => {
    const { delivery } = message;
    if (delivery === undefined) return complete();
    if (decision.act === "leave") {
      counted.lockLost += 1;
      return complete();
    }
    if (decision.act === "retry") {
      counted.retried += 1;
      message.failure = decision.failure;
      logFailure(decision, { handlerName, message, runtime });
      if (inPlace) return waitInPlace(delivery, decision, runtime);
    }
    if (decision.act === "deadLetter") logFailure(decision, { handlerName, message, runtime });
    // What is left to do is the broker's: the next handler need not wait for it, nor need the value be kept until then.
    message.lifetime.handled?.();
    message.value = undefined;
    message.context = undefined;
    const { held, state } = message;
    const isLost = message.lifetime.lost === true;
    return carryOut(decision, { delivery, held, state, runtime, park, isLost }).then((settled) => {
      report(settled, { decision, counted, runtime, message });
      return completed;
    }, refused);
  };
}

const completed = complete();

/** The next run is counted now, so that a message which ends its process then does not begin anew in the next one. */
function waitInPlace(
  delivery: Delivery,
  { delayMs, failure }: Extract<Decision, { act: "retry" }>,
  { logger }: Runtime,
): Outcome | Promise<Outcome> {
  const again = retry({ afterMs: delayMs });
  if (delivery.countRun === undefined) return again;
  return delivery.countRun(failure).then(
    () => again,
    (error: unknown) => {
      logger.warn(`A run could not be counted; a crash would forget it: ${messageOf(error)}`, {
        id: delivery.envelope.header.id,
      });
      return again;
    },
  );
}

interface Carrying {
  readonly delivery: Delivery;
  readonly held: readonly Outgoing[];
  readonly state: StateChange | undefined;
  readonly runtime: Runtime;
  /** A dead letter holds back its session. */
  readonly park: boolean;
  /** The lock is known to be gone: where sending and settling are two steps, the first must not be taken. */
  readonly isLost: boolean;
}

const done: Decision = { act: "complete" };

function carryOut(
  decision: Exclude<Decision, { act: "leave" }>,
  { delivery, held, state, runtime, park, isLost }: Carrying,
): Promise<Settled> {
  switch (decision.act) {
    case "complete":
      if (isLost && held.length > 0) return Promise.resolve("lockLost");
      return state === undefined
        ? completeWith(held, delivery, runtime)
        : keepWith({ held, state }, delivery, runtime);
    case "retry":
      return delivery.settle({
        kind: "retry",
        delayMs: decision.delayMs,
        failure: decision.failure,
      });
    case "deadLetter":
      return delivery.settle({
        kind: "deadLetter",
        failure: decision.failure,
        ...(park && delivery.session !== undefined && { park }),
      });
    case "defer":
      return delivery.settle({ kind: "defer" });
  }
}

/** What goes over another broker leaves first, for no transaction spans both. */
function completeWith(
  send: readonly Outgoing[],
  delivery: Delivery,
  { transport, neighbours }: Runtime,
): Promise<Settled> {
  if (send.length === 0) return delivery.settle(alone);
  if (neighbours === undefined) return completeHere(send, delivery, transport);
  return neighbours.sendOthers(send).then((own) => completeHere(own, delivery, transport));
}

/** In one transaction where the transport has one, else sent first: then a crash in between repeats, it never loses. */
export function completeHere(
  send: readonly Outgoing[],
  delivery: Delivery,
  transport: Transport,
): Promise<Settled> {
  if (send.length === 0) return delivery.settle(alone);
  if (transport.capabilities.atomicSettle) return delivery.settle({ kind: "complete", send });
  return transport.send(send).then(() => delivery.settle(alone));
}

/** The same with what the handler wrote to its session. Where the transport has no transaction for it, it is written before: then a crash in between shows it to the next run. */
async function keepWith(
  { held: all, state }: { held: readonly Outgoing[]; state: StateChange },
  delivery: Delivery,
  { transport, neighbours }: Runtime,
): Promise<Settled> {
  const held = neighbours === undefined ? all : await neighbours.sendOthers(all);
  if (transport.capabilities.atomicSettle)
    return delivery.settle({ kind: "complete", state, ...(held.length > 0 && { send: held }) });
  if (held.length > 0) await transport.send(held);
  const kept = await delivery.session?.write(state.body);
  return kept === "lockLost" ? kept : delivery.settle(alone);
}

const alone: Settlement = { kind: "complete" };

interface Settling {
  readonly decision: Decision;
  readonly counted: ContractCounters;
  readonly runtime: Runtime;
  readonly message: Incoming;
}

function report(settled: Settled, { decision, counted, runtime, message }: Settling): void {
  const { id, type } = message.envelope.header;
  if (settled !== "settled") message.trouble = settled;
  if (settled === "lockLost") {
    counted.lockLost += 1;
    runtime.logger.warn(
      `"${type}" was settled too late: its lock was lost, and it is or was handled again.`,
      { id },
    );
    return;
  }
  if (settled === "unknown") {
    counted.settleUnknown += 1;
    runtime.logger.warn(
      `The transport could not say whether "${type}" was settled; it may come again.`,
      { id },
    );
    return;
  }
  if (decision.act === "complete") {
    counted.handled += 1;
    for (const { envelope } of message.held) runtime.counters.of(envelope.header.type).sent += 1;
  } else if (decision.act === "deadLetter") counted.deadLettered += 1;
  else if (decision.act === "defer") counted.deferred += 1;
}

function logFailure(
  decision: Extract<Decision, { act: "retry" | "deadLetter" }>,
  { handlerName, message, runtime }: { handlerName: string; message: Incoming; runtime: Runtime },
): void {
  const { failure } = decision;
  const { logger } = runtime;
  const fields = {
    id: message.envelope.header.id,
    reason: failure.reason,
    attempt: message.attempt,
    error: failure.message,
  };
  if (decision.act === "retry")
    logger.warn(`${handlerName} failed; next try in ${decision.delayMs} ms.`, fields);
  else
    logger.error(`${handlerName} failed for good; the message is among the dead letters.`, {
      ...fields,
      stack: failure.stack,
    });
}
