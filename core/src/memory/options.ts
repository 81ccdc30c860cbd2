import { WaybillError } from "../errors.ts";

export interface MemoryOptions {
  /** Largest body that is taken, in bytes. Default 1 MiB, as most brokers have it. */
  readonly bodyBytesMax?: number;
  /** Most bytes held at one time: bodies plus 512 bytes for each message. A send beyond it fails with STORAGE_FULL. Default 512 MiB. */
  readonly bytesMax?: number;
  /** Events without a subscriber that are kept per topic; the oldest leave first. Default 10,000. */
  readonly unroutedMax?: number;
}

export type MemoryLimits = Required<MemoryOptions>;

export function limitsOf(options: MemoryOptions): MemoryLimits {
  const limits: MemoryLimits = {
    bodyBytesMax: options.bodyBytesMax ?? 1_048_576,
    bytesMax: options.bytesMax ?? 536_870_912,
    unroutedMax: options.unroutedMax ?? 10_000,
  };
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new WaybillError(
        "OPTION_INVALID",
        `memory({ ${name} }) takes a whole number from 1, not ${String(value)}.`,
      );
    }
  }
  return limits;
}
