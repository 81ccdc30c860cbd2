import { WaybillError } from "../errors.ts";
import type { Incoming } from "../handling/message.ts";
import { type Outcome, complete } from "../handling/outcome.ts";
import type { Incomer, IncomingStep } from "../handling/pipeline.ts";
import type { Store, StoreTransaction } from "../ports/store.ts";
import { addressOf } from "../ports/transport.ts";
import type { Delays } from "../schedules/delays.ts";
import type { Stores } from "../stores/stores.ts";
import type { ViewBell } from "../views/bell.ts";

/**
 * Runs the handlers of a service with a store inside one transaction of it: the record that the message was handled, what the handler writes,
 * and what it sends are committed together, and only then is the message settled. A message that is recorded already is completed without
 * running. Nothing where a service has no store.
 */
export function transact({ stores, bell, delays }: Transacting): IncomingStep {
  return {
    name: "transact",
    wrap: (next, { service, source, contract, binding }, { counters, logger }) => {
      const store = stores.of(service);
      if (store === undefined) return next;
      const counted = counters.of(contract.name);
      const claim = binding.view === undefined ? claimOf(addressOf(source)) : viewClaimOf(service);
      const run = running(next, { store, claim, stores, delays });
      return async (message) => {
        try {
          const outcome = await run(message);
          message.held = [];
          if (binding.view !== undefined) bell.ring(service, message.envelope.header);
          if (outcome !== undefined) return outcome;
          counted.repeated += 1;
          return complete();
        } catch (error) {
          if (error instanceof Undone) return error.outcome;
          if (!isUnknown(error)) throw error;
          // Its answer comes when the transaction has ended; only then are its rows there, or not.
          const isStored = await isRecorded(message, { store, claim });
          stores.doubt(service);
          if (!isStored) throw error;
          const { id, type } = message.envelope.header;
          logger.warn(
            `The commit of "${type}" was not answered; its record says that it is done.`,
            {
              id,
            },
          );
          message.held = [];
          return complete();
        }
      };
    },
  };
}

interface Transacting {
  readonly stores: Stores;
  readonly bell: ViewBell;
  readonly delays: Delays;
}

/** Notes that a message is handled; false: it was before. */
type Claim = (transaction: StoreTransaction, message: Incoming) => boolean | Promise<boolean>;

interface Claiming {
  readonly store: Store;
  readonly claim: Claim;
}

function claimOf(address: string): Claim {
  return (transaction, message) => transaction.claim(address, recordOf(message));
}

/** A view knows its messages by generation. */
function viewClaimOf(view: string): Claim {
  return async ({ views }, message) => {
    const { id, causationid: cause, conversationid } = message.envelope.header;
    const isKnown = conversationid === id || conversationid === cause;
    message.generations = await views.claim({
      view,
      message: recordOf(message),
      cause,
      conversation: isKnown ? undefined : conversationid,
    });
    return message.generations.length > 0;
  };
}

interface Keeping extends Claiming {
  readonly stores: Stores;
  readonly delays: Delays;
}

/** Undefined: it was handled before. */
function running(
  next: Incomer,
  { store, claim, stores, delays }: Keeping,
): (message: Incoming) => Promise<Outcome | undefined> {
  return async (message) => {
    let tell: (() => void) | undefined;
    const ended = await store.transaction(async (transaction) => {
      if (!(await claim(transaction, message))) return undefined;
      message.transaction = transaction.client;
      message.sagas = transaction.sagas;
      message.views = transaction.views;
      message.events = transaction.events;
      message.schedules = transaction.schedules;
      message.keptAt = undefined;
      const outcome = await next(message);
      if (outcome.outcome !== "complete") throw new Undone(outcome);
      checkLock(message);
      if (message.held.length > 0) {
        const divided = await delays.divide(message.held, transaction.schedules, store);
        ({ tell } = divided);
        if (divided.now.length > 0) await transaction.append(divided.now, message.stream);
      }
      checkLock(message);
      return outcome;
    });
    tell?.();
    if (message.keptAt !== undefined) stores.kept(store, message.keptAt);
    return ended;
  };
}

/** Claiming waits for a transaction that is still ending, so its answer is the truth. */
async function isRecorded(message: Incoming, { store, claim }: Claiming): Promise<boolean> {
  try {
    await store.transaction(async (transaction: StoreTransaction) => {
      if (await claim(transaction, message)) throw unclaimed;
    });
    return true;
  } catch {
    return false;
  }
}

/** By type too, for a queue may take several, and senders choose their ids. */
function recordOf({ envelope: { header } }: Incoming): string {
  return `${header.type} ${header.id}`;
}

/** Whoever has the message now would find it recorded, and what it did would count though its lock is gone. */
function checkLock({ lifetime }: Incoming): void {
  if (lifetime.lost !== true) return;
  throw new WaybillError(
    "LOCK_LOST",
    "The lock of this message was lost before its transaction was committed; nothing of it stays.",
  );
}

function isUnknown(error: unknown): boolean {
  return error instanceof WaybillError && error.code === "COMMIT_UNKNOWN";
}

const unclaimed = new Error("It was not recorded.");

/** Ends a transaction whose handler asked for something else than completion. */
class Undone extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome) {
    super("The handler did not complete the message.");
    this.outcome = outcome;
  }
}
