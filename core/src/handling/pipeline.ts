import { WaybillError } from "../errors.ts";
import type { Incoming, Sending } from "./message.ts";
import type { Outcome } from "./outcome.ts";
import type { Route } from "../wiring/route.ts";
import type { Runtime } from "../runtime.ts";
import type { AnyContract } from "../wiring/uses.ts";

/** Answers at once where nothing had to be awaited, so that a handler which is not async costs no promise on the way. Throws or rejects. */
export type Incomer = (message: Incoming) => Outcome | Promise<Outcome>;
export type Sender = (message: Sending) => void | Promise<void>;

/**
 * A step on the way in. `wrap` runs once per route when the bus connects, never per message, so what it can
 * decide there costs nothing later: a step with nothing to do for a route returns `next` itself.
 */
export interface IncomingStep {
  readonly name: string;
  wrap(next: Incomer, route: Route, runtime: Runtime): Incomer;
}

/** A step on the way out. `wrap` runs once per contract when the bus connects. */
export interface OutgoingStep {
  readonly name: string;
  wrap(next: Sender, contract: AnyContract, runtime: Runtime): Sender;
}

/** A step of the user's own, placed before or after a named one. */
export type UserStep =
  | {
      readonly direction: "incoming";
      readonly before?: string;
      readonly after?: string;
      readonly step: IncomingStep;
    }
  | {
      readonly direction: "outgoing";
      readonly before?: string;
      readonly after?: string;
      readonly step: OutgoingStep;
    };

/** Puts the user's steps of one direction into the list. Throws OPTION_INVALID naming the steps there are. */
export function placeSteps<Step extends { readonly name: string }>(
  steps: readonly Step[],
  direction: UserStep["direction"],
  added: readonly UserStep[],
): readonly Step[] {
  const list = [...steps];
  for (const { step, before, after, direction: own } of added) {
    if (own !== direction) continue;
    const anchor = before ?? after;
    const index = list.findIndex(({ name }) => name === anchor);
    if (index === -1 || (before === undefined) === (after === undefined)) {
      const names = list.map(({ name }) => name).join(", ");
      throw new WaybillError(
        "OPTION_INVALID",
        `The step "${step.name}" must stand before or after exactly one of the ${direction} steps: ${names}.`,
      );
    }
    if (list.some(({ name }) => name === step.name)) {
      throw new WaybillError(
        "OPTION_INVALID",
        `There are two ${direction} steps "${step.name}"; give yours its own name, so that others can stand beside it.`,
      );
    }
    list.splice(before === undefined ? index + 1 : index, 0, step as unknown as Step);
  }
  return list;
}

/** Folds the list into one function, the first step outermost. */
export function compileIncoming(
  steps: readonly IncomingStep[],
  route: Route,
  runtime: Runtime,
): Incomer {
  const end: Incomer = () => {
    throw new WaybillError("WIRING_INVALID", "The last step must not call next().");
  };
  return steps.reduceRight((next, step) => step.wrap(next, route, runtime), end);
}

export function compileOutgoing(
  steps: readonly OutgoingStep[],
  contract: AnyContract,
  runtime: Runtime,
): Sender {
  return steps.reduceRight<Sender>(
    (next, step) => step.wrap(next, contract, runtime),
    () => undefined,
  );
}
