export { type ClaimCheckOptions, claimCheck } from "./claim-check.ts";
export { directoryStore } from "./directory-store.ts";
export { type ObjectStore, isObjectName } from "./object-store.ts";
export { sweepObjects } from "./sweep.ts";
