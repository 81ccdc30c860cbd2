import { messageOf } from "../errors.ts";
import type { Health } from "../operating/health.ts";
import type { OpenViews } from "./open-views.ts";
import { statusOf } from "./status.ts";

/** The same with how far the views have come. One whose store does not answer is left out, with a reason. */
export async function withViews(
  health: Omit<Health, "views" | "captures">,
  { kept }: OpenViews,
): Promise<Omit<Health, "captures">> {
  const looks = await Promise.all(
    kept.map(({ service, store }) =>
      statusOf(service, store, health.addresses).catch(
        (error: unknown) => `The view "${service.name}" does not answer: ${messageOf(error)}`,
      ),
    ),
  );
  const silent = looks.filter((look) => typeof look === "string");
  return {
    ...health,
    status: silent.length > 0 && health.status === "up" ? "degraded" : health.status,
    reasons: [...health.reasons, ...silent],
    views: looks.filter((look) => typeof look !== "string"),
  };
}
