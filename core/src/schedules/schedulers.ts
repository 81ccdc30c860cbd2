import type { Runtime } from "../runtime.ts";
import type { Service } from "../service.ts";
import type { Speech } from "../speaking/speech.ts";
import type { Stores } from "../stores/stores.ts";
import { Scheduler } from "./scheduler.ts";

/** One for each store of the connected services. */
export function schedulersOf(
  services: readonly Service[],
  stores: Stores,
  { speech, runtime }: { readonly speech: Speech; readonly runtime: Runtime },
): readonly Scheduler[] {
  return stores.all.map((open) => {
    const declared = services
      .filter(({ name }) => stores.of(name) === open.store)
      .flatMap(({ name: service, schedules = [] }) =>
        schedules.map((definition) => ({ service, definition })),
      );
    const own = stores.servicesOf(open.store);
    const scheduler = new Scheduler({ open, declared, services: own, speech, runtime });
    stores.onKept(open.store, (nextAt) => scheduler.kept(nextAt));
    return scheduler;
  });
}
