import { type Bus, type Service, type View, WaybillError, sleep, systemEnvironment } from "waybill";

/** Of a view that was never rebuilt. */
const firstGeneration = 1;
const fillMsMax = 10_000;
const pauseMs = 500;

/**
 * Once in its life a view is made of what there was before it; from then on events keep it, whether or not the owners are there. Waits for the
 * owners, until the signal is aborted.
 */
export async function fillViews(
  bus: Bus,
  services: readonly Service[],
  signal: AbortSignal,
): Promise<void> {
  for (const each of services)
    if (each.view?.backfill !== undefined) await fill(bus, each as View, signal);
}

async function fill(bus: Bus, view: View, signal: AbortSignal): Promise<void> {
  const look = bus.views(view);
  while (!signal.aborted && (await look.status()).generation === firstGeneration) {
    try {
      await look.rebuild({ deadlineMs: fillMsMax, signal });
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof WaybillError)) throw error;
      console.warn(`The view "${view.name}" is still empty and asks again: ${error.message}`);
      await sleep(systemEnvironment.timers, pauseMs, signal).catch(() => undefined);
    }
  }
}
