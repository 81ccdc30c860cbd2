import { messageOf } from "../errors.ts";
import type { Timer } from "../ports/environment.ts";
import type { Runtime } from "../runtime.ts";
import type { Service } from "../service.ts";
import type { OpenStore, Stores } from "../stores/stores.ts";

const forgetMax = 500;
const pauseMs = 30_000;
/** Between two steps while there is more. */
const nextMs = 50;

/** Removes sagas that have finished long ago, in small steps, until it is ended; undefined where no service is a saga. */
export function forgetSagas(
  services: readonly Service[],
  stores: Stores,
  { environment, logger }: Pick<Runtime, "environment" | "logger">,
): (() => Promise<void>) | undefined {
  const named = new Set(
    services.filter(({ saga }) => saga !== undefined).map(({ name }) => stores.of(name)),
  );
  const kept = stores.all.filter(({ store }) => named.has(store));
  if (kept.length === 0) return undefined;
  let timer: Timer | undefined;
  let isEnded = false;
  let running: Promise<void> = Promise.resolve();
  const step = async ({ store }: OpenStore): Promise<boolean> => {
    try {
      return (await store.sagas.forget(environment.clock.now(), forgetMax)) === forgetMax;
    } catch (error) {
      logger.warn(`${store.name} could not forget old sagas: ${messageOf(error)}`);
      return false;
    }
  };
  const run = async (): Promise<void> => {
    const more = await Promise.all(kept.map(step));
    if (!isEnded) again(more.includes(true) ? nextMs : pauseMs);
  };
  const again = (delayMs: number): void => {
    timer = environment.timers.set(
      () => {
        running = run();
      },
      delayMs * (0.75 + environment.random() / 2),
    );
  };
  again(pauseMs);
  return () => {
    isEnded = true;
    timer?.cancel();
    return running;
  };
}
