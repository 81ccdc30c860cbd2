import type { PartitionKey } from "./assignment.ts";
import type { Progress } from "./progress.ts";
import type { Window } from "./window.ts";

/** A place at a topic's partitions: in a group that shares them, or alone. */
export interface Seat {
  /** Takes part, until `leave`. */
  begin(holder: Holder): void;
  /** Keeps how far these have come. Resolves when it is kept; what somebody else has by then is not, and was told to the holder as lost. */
  keep(windows: readonly Window[]): Promise<void>;
  /** Whether it is certain that nobody else has what this one holds. */
  isSure(): boolean;
  /** Asks whether it still has its place. Only a clear no is a no. */
  confirm(): Promise<boolean>;
  /** Nothing of it is in hand any more. */
  release(key: PartitionKey): void;
  /** Takes nothing more, and goes when everything was released. */
  leave(): void;
  /** Goes at once. */
  close(): Promise<void>;
}

/** A partition, and from where it is to be read. */
export interface Placed extends Progress {
  readonly key: PartitionKey;
}

/** Who sits there. */
export interface Holder {
  assigned(places: readonly Placed[]): void;
  /** Somebody put the group to another place: nothing that was read of them counts any more. */
  sought(places: readonly Placed[]): void;
  /** To be released as soon as nothing of it is in hand. */
  wanted(keys: readonly PartitionKey[]): void;
  /** Somebody else has it now. */
  lost(keys: readonly PartitionKey[]): void;
  fault(error: unknown): void;
  /** It left, everything released. */
  left(): void;
}
