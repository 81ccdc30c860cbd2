import { WaybillError } from "../errors.ts";
import type { StoreFactory } from "../ports/store.ts";
import type { Running } from "../running.ts";
import type { Uses } from "../wiring/uses.ts";
import type { Decider, DeciderCommandOf, DeciderEventOf, DeciderStateOf } from "./decider.ts";
import { DeciderLook } from "./look.ts";

export type DeciderLookOf<D extends Decider> = DeciderLook<
  DeciderStateOf<D>,
  DeciderCommandOf<D>,
  DeciderEventOf<D>
>;

/** The streams of a decider of this bus. Error: NOT_FOUND. */
export function lookInto(
  { stores, wiring, runtime, speech }: Running,
  { name: service }: Pick<Decider, "name">,
): DeciderLook {
  const connected = wiring.services.find(({ name }) => name === service);
  if (connected?.decider === undefined)
    throw new WaybillError(
      "NOT_FOUND",
      `No connected service is a decider of the name "${service}".`,
    );
  const { environment, logger } = runtime;
  return new DeciderLook({
    definition: connected.decider,
    open: stores.opened((connected.uses as Uses).store as StoreFactory),
    environment,
    logger,
    prepare: (event, payload, { id, ...recorded }) =>
      speech.prepare(event, payload, { service, parent: undefined, options: { id }, recorded }),
  });
}
