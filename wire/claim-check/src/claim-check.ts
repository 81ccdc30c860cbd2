import { createHash } from "node:crypto";
import {
  type Body,
  type Passage,
  WaybillError,
  type WireTransform,
  bodyBytes,
} from "@waybill/core";
import { type Claim, readClaim, writeClaim } from "./claim.ts";
import type { ObjectStore } from "./object-store.ts";
import { objectName, sweepObjects } from "./sweep.ts";

export interface ClaimCheckOptions {
  /** `directoryStore({ directory })`, or an adapter of your bucket. */
  readonly store: ObjectStore;
  /** Bodies of fewer bytes stay in the message, 1 to 1,073,741,824. Default 131,072. */
  readonly thresholdBytes?: number;
  /** Largest body, 1 to 1,073,741,824. Default 67,108,864. */
  readonly objectBytesMax?: number;
  /**
   * Objects older than this are deleted, looked for at most once an hour when one is put, in milliseconds from one minute. Default: none is. Longer than a message may
   * wait, stand among the dead letters or be read again.
   */
  readonly retentionMs?: number;
  /** How long the store may take for one object, in milliseconds, 1 to 300,000. Default 30,000. */
  readonly timeoutMs?: number;
}

const mebi = 1_024 * 1_024;
const hourMs = 3_600_000;
const encoding = "claim-check";

/**
 * Puts large bodies into a store and a reference into the message. Opening fetches the object and checks its length and its hash. An
 * object that is not there fails retryably, because stores may lag behind: the message comes again by its retry policy, and is a dead letter
 * then. Objects are deleted by age, never with a message: others may still want them. Put it after `encryption()`, or the store sees plain text.
 *
 * Errors: NOT_FOUND and STORAGE_FAILED (both retryable), BODY_TOO_LARGE, DECODE_FAILED for what is no reference or not the object that it
 * names, OPTION_INVALID.
 *
 * @example
 * await connect({ transport, services, wire: [claimCheck({ store: directoryStore({ directory: "./objects" }) })] });
 */
export function claimCheck(options: ClaimCheckOptions): WireTransform {
  const { store, retentionMs } = options;
  const { thresholdBytes = mebi / 8, objectBytesMax = 64 * mebi, timeoutMs = 30_000 } = options;
  check("thresholdBytes", thresholdBytes, [1, 1_024 * mebi]);
  check("objectBytesMax", objectBytesMax, [1, 1_024 * mebi]);
  check("timeoutMs", timeoutMs, [1, 300_000]);
  if (retentionMs !== undefined)
    check("retentionMs", retentionMs, [60_000, 100 * 365 * 24 * hourMs]);
  const sweeper = new Sweeper(store, retentionMs);
  return {
    name: "claimCheck",
    encodings: [encoding],
    required: false,
    bodyBytesMax: objectBytesMax,
    seal: async (body, passage) => {
      const { environment, header } = passage;
      const bytes = bodyBytes(body);
      if (bytes < thresholdBytes) return undefined;
      if (bytes > objectBytesMax)
        throw new WaybillError(
          "BODY_TOO_LARGE",
          `"${header.type}" has ${bytes} bytes; claimCheck({ objectBytesMax }) allows ${objectBytesMax}.`,
        );
      const content = typeof body === "string" ? Buffer.from(body) : body;
      const object = objectName(environment);
      const naming = { passage, timeoutMs, doing: `keep the object ${object} of` };
      await stored(store.put(object, content), naming);
      sweeper.pass(passage);
      return { body: writeClaim({ object, bytes, sha256: hashOf(content) }), encoding };
    },
    open: async (body, passage) => {
      const claim = readClaim(body, passage.header.type);
      if (claim.bytes > objectBytesMax) throw tooLarge(claim, passage, objectBytesMax);
      const naming = { passage, timeoutMs, doing: `get the object ${claim.object} of` };
      const content = await stored(store.get(claim.object, claim.bytes), naming);
      return verified(content, claim, passage);
    },
  };
}

function verified(content: Uint8Array | undefined, claim: Claim, { header }: Passage): Body {
  const { object } = claim;
  if (content === undefined)
    throw new WaybillError(
      "NOT_FOUND",
      `The body of "${header.type}" should be the object ${object}, which is not in the store. Do sender and receiver share one store, and is its retention longer than messages wait?`,
      { retryable: true, details: { object } },
    );
  if (content.byteLength === claim.bytes && hashOf(content) === claim.sha256) return content;
  throw new WaybillError(
    "DECODE_FAILED",
    `The object ${object} is not the body that "${header.type}" was sent with: its length or its hash differs. It was changed in the store.`,
    { details: { object } },
  );
}

function tooLarge({ object, bytes }: Claim, { header }: Passage, bytesMax: number): WaybillError {
  return new WaybillError(
    "BODY_TOO_LARGE",
    `"${header.type}" names the object ${object} of ${bytes} bytes; claimCheck({ objectBytesMax }) allows ${bytesMax}. It was not fetched.`,
  );
}

/** What the store does, within its time, its errors named. */
async function stored<Result>(
  work: Promise<Result>,
  { passage, timeoutMs, doing }: { passage: Passage; timeoutMs: number; doing: string },
): Promise<Result> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = passage.environment.timers.set(
    () => reject(new Error(`it took longer than ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    return await Promise.race([work, late]);
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new WaybillError(
      "STORAGE_FAILED",
      `The store could not ${doing} "${passage.header.type}": ${text}. It is tried again.`,
      { retryable: true, cause },
    );
  } finally {
    timer.cancel();
  }
}

/** Deletes old objects now and then, beside the work that it happens to be called by. */
class Sweeper {
  readonly #store: ObjectStore;
  readonly #retentionMs: number | undefined;
  #sweptAt: number | undefined;

  constructor(store: ObjectStore, retentionMs: number | undefined) {
    this.#store = store;
    this.#retentionMs = retentionMs;
  }

  pass({ environment, logger }: Passage): void {
    const now = environment.clock.monotonic();
    if (this.#retentionMs === undefined || this.#store.list === undefined) return;
    if (this.#sweptAt !== undefined && now - this.#sweptAt < hourMs) return;
    this.#sweptAt = now;
    sweepObjects(this.#store, { olderThanMs: this.#retentionMs, environment }).then(
      (deleted) => logger.debug(`${deleted} old objects of the claim check were deleted.`),
      (error: unknown) =>
        logger.warn(`Old objects of the claim check could not be deleted: ${String(error)}`),
    );
  }
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64url");
}

function check(option: string, value: unknown, [least, most]: readonly [number, number]): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return;
  throw new WaybillError(
    "OPTION_INVALID",
    `claimCheck({ ${option} }) is ${String(value)}; give a whole number from ${least} to ${most}.`,
  );
}
