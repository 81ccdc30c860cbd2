import { messageOf } from "../errors.ts";
import type { OutboxState } from "../ports/store.ts";
import type { Health } from "../operating/health.ts";
import type { OpenStore, Stores } from "./stores.ts";

/** What stands in the outbox of one store. */
export interface StoreHealth extends OutboxState {
  readonly name: string;
  readonly answers: boolean;
}

interface Look {
  readonly health: StoreHealth;
  readonly status: Health["status"];
  readonly reasons: readonly string[];
}

const severity: readonly Health["status"][] = ["up", "degraded", "failed", "down"];

/** The same with what the stores say: their outboxes, or that they do not answer. */
export async function withStores(
  health: Omit<Health, "stores" | "views" | "captures">,
  stores: Stores,
): Promise<Omit<Health, "views" | "captures">> {
  const looks = await Promise.all(stores.all.map(lookAt));
  const worst = [health.status, ...looks.map(({ status }) => status)].toSorted(
    (left, right) => severity.indexOf(right) - severity.indexOf(left),
  );
  return {
    ...health,
    status: worst[0] ?? "up",
    reasons: [...health.reasons, ...looks.flatMap(({ reasons }) => reasons)],
    stores: looks.map((look) => look.health),
  };
}

async function lookAt({ factory, store, relay }: OpenStore): Promise<Look> {
  const { name } = store;
  let state: OutboxState;
  try {
    state = await store.outbox.state();
  } catch (error) {
    const health = { name, answers: false, waiting: 0, oldestMs: 0, aside: 0 };
    return { health, status: "down", reasons: [`${name} does not answer: ${messageOf(error)}`] };
  }
  const { degraded, failed } = factory.alarmAfterMs;
  const { waiting, oldestMs, aside } = state;
  const reasons: string[] = [];
  const isLate = waiting > 0 && oldestMs >= degraded;
  if (isLate) {
    const why = relay.trouble === undefined ? "" : `: ${relay.trouble}`;
    reasons.push(
      `${name}: ${waiting} committed messages are not sent, the oldest for ${Math.round(oldestMs / 1_000)} s${why}`,
    );
  }
  if (aside > 0) reasons.push(`${name}: the broker refuses ${aside} committed messages`);
  const isFailed = isLate && oldestMs >= failed;
  return {
    health: { name, answers: true, ...state },
    status: isFailed ? "failed" : reasons.length > 0 ? "degraded" : "up",
    reasons,
  };
}
