import { WaybillError } from "@waybill/core";

/** Where the embedded broker keeps its data, and how carefully. */
export interface EmbeddedOptions {
  /** Folder of the broker's files, made when missing. Every process of the application names the same one; it must be on a local disk. */
  readonly directory: string;
  /**
   * "full" (default): what was acknowledged survives a loss of power.
   * "normal": faster, but a loss of power may take the last acknowledged messages; a crash of the process never does.
   */
  readonly synchronous?: "full" | "normal";
  /** What to do on a file system on which SQLite's locks do not hold (NFS, SMB, 9p, FUSE, …). Default "refuse": opening throws STORAGE_INVALID. */
  readonly unsafeFileSystem?: "refuse" | "warn";
  /** Bytes of stored data above which `send` rejects with STORAGE_FULL; what is stored can still be settled. Default: no bound. */
  readonly quotaBytes?: number;
  /** Largest body of one message in bytes. Default 16 MiB. */
  readonly bodyBytesMax?: number;
  /** Most messages of `send` waiting in this process to be stored; above it `send` rejects with BUFFER_FULL. Default 100,000. */
  readonly bufferMessagesMax?: number;
  /** Most bytes of such messages. Default 64 MiB. */
  readonly bufferBytesMax?: number;
}

export type Settings = Required<Omit<EmbeddedOptions, "quotaBytes">> & {
  readonly quotaBytes: number | undefined;
};

/** 100 years: a moment must stay an exact integer of milliseconds. */
export const delayMsMax: number = 100 * 365 * 24 * 60 * 60 * 1000;

const mebibyte = 1024 * 1024;
/** Below this there is no room for the tables and the reserve that settling needs. */
const quotaBytesMin = mebibyte;

/** Fills in the defaults; throws OPTION_INVALID with the name of the option at fault. */
export function settingsOf(options: EmbeddedOptions): Settings {
  const settings: Settings = {
    directory: options.directory,
    synchronous: options.synchronous ?? "full",
    unsafeFileSystem: options.unsafeFileSystem ?? "refuse",
    quotaBytes: options.quotaBytes,
    bodyBytesMax: options.bodyBytesMax ?? 16 * mebibyte,
    bufferMessagesMax: options.bufferMessagesMax ?? 100_000,
    bufferBytesMax: options.bufferBytesMax ?? 64 * mebibyte,
  };
  if (typeof settings.directory !== "string" || settings.directory === "") {
    throw invalid("directory", "name the folder of the broker's files");
  }
  if (settings.synchronous !== "full" && settings.synchronous !== "normal") {
    throw invalid("synchronous", 'choose "full" or "normal"');
  }
  if (settings.unsafeFileSystem !== "refuse" && settings.unsafeFileSystem !== "warn") {
    throw invalid("unsafeFileSystem", 'choose "refuse" or "warn"');
  }
  for (const name of ["bodyBytesMax", "bufferMessagesMax", "bufferBytesMax"] as const) {
    if (!isPositive(settings[name])) throw invalid(name, "give a whole number above 0");
  }
  if (
    settings.quotaBytes !== undefined &&
    !(isPositive(settings.quotaBytes) && settings.quotaBytes >= quotaBytesMin)
  ) {
    throw invalid("quotaBytes", `give a whole number of at least ${quotaBytesMin}`);
  }
  return settings;
}

function isPositive(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

function invalid(option: keyof EmbeddedOptions, advice: string): WaybillError {
  return new WaybillError("OPTION_INVALID", `embedded({ ${option} }): ${advice}.`, {
    details: { option },
  });
}
