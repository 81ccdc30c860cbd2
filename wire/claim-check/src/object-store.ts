/**
 * Where large bodies are kept: a directory, a bucket. Names are made by the claim check: 1 to 80 letters of lower case, digits and dashes.
 * Errors are the store's own; they count as passing troubles and are tried again.
 */
export interface ObjectStore {
  /** Resolves when the object is as durable as the messages that will name it. Not called twice with one name. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** Undefined when there is no such object. May answer the first `bytesMax + 1` bytes of a larger one. */
  get(name: string, bytesMax: number): Promise<Uint8Array | undefined>;
  /** Nothing when there is no such object. */
  delete(name: string): Promise<void>;
  /** All names, in any order. Without it nothing is cleaned up here: give the bucket a rule of its own. */
  list?(): AsyncIterable<string>;
}

const nameForm = /^[a-z0-9-]{1,80}$/;

/** Whether a name could have been made by a claim check. Names come off the wire, so they are checked before anything is opened by them. */
export function isObjectName(name: unknown): name is string {
  return typeof name === "string" && nameForm.test(name);
}
