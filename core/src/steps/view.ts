import { partitionHash } from "../adapter/partition-hash.ts";
import { type Outcome, complete } from "../handling/outcome.ts";
import type { Incoming } from "../handling/message.ts";
import type { IncomingStep } from "../handling/pipeline.ts";
import type { ViewMark, ViewRows } from "../ports/view-rows.ts";
import type { ViewBinding } from "../views/definition.ts";
import { Fold, type Folding, rowKeyOf } from "../views/fold.ts";

/** Events note how far their view has come in one of so many places, so that those of different keys do not wait for each other. */
const marksMax = 16;

/**
 * Loads the row that a message is for, in each generation of its view, lets its reducer run, and saves what became of it, all in the transaction
 * of the message. Nothing where a service is no view.
 */
export const view: IncomingStep = {
  name: "view",
  wrap: (next, { binding, contract }, { environment, counters }) => {
    const { view: own } = binding;
    if (own === undefined) return next;
    const counted = counters.of(contract.name);
    return async (message: Incoming): Promise<Outcome> => {
      const rows = message.views as ViewRows;
      const key = rowKeyOf(own, message.value);
      const now = environment.clock.now();
      const mark = markOf(own, message, { key, now });
      const places = [];
      for (const generation of message.generations ?? []) {
        const isAhead = mark.offset === undefined || (await rows.advance({ ...mark, generation }));
        if (isAhead) places.push({ view: own.definition.name, key, generation });
      }
      const folds: Fold[] = [];
      for (const place of places) {
        const row = await rows.load(place);
        folds.push(new Fold(own, { key, row, header: message.envelope.header }));
      }
      const all = new Folds(folds);
      message.fold = all;
      const outcome = folds.length === 0 ? complete() : await next(message);
      if (outcome.outcome !== "complete") return outcome;
      if (!all.hasChanged) counted.ignored += 1;
      for (const [index, place] of places.entries()) {
        const after = await folds[index]?.end(now);
        if (after !== undefined) await rows.save(place, after);
        if (mark.offset === undefined)
          await rows.advance({ ...mark, generation: place.generation });
      }
      return outcome;
    };
  },
};

/** The rows of one message: one in each generation. */
class Folds implements Folding {
  readonly #all: readonly Fold[];
  hasChanged = false;

  constructor(all: readonly Fold[]) {
    this.#all = all;
  }

  async run(value: unknown): Promise<void> {
    for (const fold of this.#all) if ((await fold.run(value)) === "changed") this.hasChanged = true;
  }
}

function markOf(
  { definition: { name }, source: { contract } }: ViewBinding,
  { delivery, envelope }: Incoming,
  { key, now }: { readonly key: string; readonly now: number },
): Omit<ViewMark, "generation"> {
  const position = delivery?.position;
  // A replayed item stands where it stood, behind what was taken since; the record of its message says whether it was taken.
  const isReplayed = delivery?.expiryLifted === true;
  const sentAt = Date.parse(envelope.header.time);
  return {
    view: name,
    source: contract.name,
    partition: position?.partition ?? partitionHash(key) % marksMax,
    offset: isReplayed ? undefined : position?.offset,
    sentAt: Number.isFinite(sentAt) ? sentAt : now,
    at: now,
  };
}
