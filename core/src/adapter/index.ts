/** What adapters share and users have no need of: `@waybill/core/adapter`. */
export { byAddress, plainSettings } from "./addresses.ts";
export { assertReceiving, assertRules } from "./declaring.ts";
export { brokerFailure, expiredFailure, shortFailure, unheardFailure } from "./failures.ts";
export { type AsideState, type Handle, asideStates, handleOf, readHandle } from "./handles.ts";
export { messageOf } from "../errors.ts";
export { HeldDelivery } from "./held-delivery.ts";
export { lockClockOf } from "./lock-clock.ts";
export { assertTimes, unroutable } from "./outgoing.ts";
export { PartialInspection } from "./partial-inspection.ts";
export { PartitionProgress, type ProgressEntry, type Reached } from "./partition-progress.ts";
export { fnv1a, partitionHash } from "./partition-hash.ts";
export { attributesIn, failureIn, isMoment, parsedJson, wholeNumber } from "./reading.ts";
export { within } from "../within.ts";
export { placeOutside } from "../wiring/place.ts";
