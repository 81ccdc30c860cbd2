import { findErrorBy } from "@platformatic/kafka";
import { isApi, isMissing } from "./errors.ts";

/** Whether a broker answered at all. */
export function isAnswered(thrown: unknown): boolean {
  return findErrorBy(thrown as Error, "code", "PLT_KFK_PROTOCOL") !== null;
}

/** The broker that was asked does not keep the group, or not yet. */
export function isMoved(thrown: unknown): boolean {
  return isOne(thrown, [
    "NOT_COORDINATOR",
    "COORDINATOR_NOT_AVAILABLE",
    "COORDINATOR_LOAD_IN_PROGRESS",
  ]);
}

/** The member is not of the group any more: what it held is others'. */
export function isExpelled(thrown: unknown): boolean {
  return isOne(thrown, ["UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID"]);
}

/** Others have joined or left: the member has to join again. */
export function isRegrouped(thrown: unknown): boolean {
  return isOne(thrown, ["ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS"]);
}

/** What is known of the leaders is out of date. */
export function isStale(thrown: unknown): boolean {
  const moved = ["NOT_LEADER_OR_FOLLOWER", "LEADER_NOT_AVAILABLE", "FENCED_LEADER_EPOCH"];
  return isMissing(thrown) || isOne(thrown, moved);
}

function isOne(thrown: unknown, ids: readonly string[]): boolean {
  return ids.some((id) => isApi(thrown, id));
}
