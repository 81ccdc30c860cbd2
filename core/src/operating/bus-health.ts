import { withCaptures } from "../captures/captures.ts";
import type { Running } from "../running.ts";
import { withSchedules } from "../schedules/schedule-health.ts";
import { withStores } from "../stores/store-health.ts";
import { withViews } from "../views/view-health.ts";
import { type Health, readHealth } from "./health.ts";

/** What the brokers say, and everything that runs behind a bus. */
export async function busHealth(parts: Running): Promise<Health> {
  const { runtime, listeners, servings, breakers, loop, stores } = parts;
  const running = new Map(
    [...listeners, ...servings].map(({ address, inFlight }) => [address, inFlight]),
  );
  const health = await readHealth(runtime, {
    running,
    circuits: breakers.map((each) => each.health()),
    eventLoop: loop?.health(),
    complaints: loop?.complaints() ?? [],
  });
  const stored = await withViews(await withStores(health, stores), parts.views);
  return withSchedules(withCaptures(stored, parts.captures), parts.schedulers);
}
