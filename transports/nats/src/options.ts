import { WaybillError } from "@waybill/core";

/** Which NATS, and how carefully. */
export interface NatsOptions {
  /** `nats://user:password@host:4222`, or `tls://` to insist on TLS; several servers of one cluster separated by commas. */
  readonly url: string;
  /** The text of a `.creds` file: JWT and seed of a user in an account. */
  readonly credentials?: string;
  /** A token, where the server asks for one. */
  readonly token?: string;
  /** What a server with a certificate of your own, or one that asks for yours, needs. */
  readonly tls?: NatsTls;
  /** Begins every stream and subject, so that several systems can share an account. Letters, digits and dashes. Default "waybill". */
  readonly prefix?: string;
  /** Copies of every stream in a cluster, 1 to 5. Default 1. Streams that exist keep theirs. */
  readonly replicas?: number;
  /** Milliseconds for a connection to be made. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Milliseconds between signs of life; the connection counts as lost when two go unanswered. Default 10,000. */
  readonly pingIntervalMs?: number;
  /** Milliseconds for the server to confirm what is sent, reconnecting included; then `send` rejects with TRANSPORT_FAILED. At most 100,000. Default 30,000. */
  readonly sendTimeoutMs?: number;
  /** Most messages of `send` that wait for their confirmation; above it `send` rejects with BUFFER_FULL. Default 100,000. */
  readonly bufferMessagesMax?: number;
  /** Most bytes of such messages. Default 64 MiB. */
  readonly bufferBytesMax?: number;
}

export interface NatsTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface Settings extends Required<Omit<NatsOptions, "credentials" | "token" | "tls">> {
  readonly credentials: string | undefined;
  readonly token: string | undefined;
  readonly tls: NatsTls | undefined;
  readonly servers: readonly URL[];
  /** The URL without its password, for errors and logs. */
  readonly shownUrl: string;
}

const mebibyte = 1024 * 1024;
const prefixPattern = /^[A-Za-z0-9-]{1,40}$/;
const replicasMax = 5;
const sendTimeoutMax = 100_000;
/** For so long a stream knows what it took, so that what is sent again for want of a confirmation is stored once. */
export const duplicateWindowMs = 120_000;

/** Fills in the defaults; throws OPTION_INVALID with the name of the option at fault. */
export function settingsOf(options: NatsOptions): Settings {
  const servers = options.url.split(",").map(serverOf);
  const settings: Settings = {
    url: options.url,
    servers,
    shownUrl: servers.map(shown).join(","),
    credentials: options.credentials,
    token: options.token,
    tls: options.tls,
    prefix: options.prefix ?? "waybill",
    replicas: options.replicas ?? 1,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    pingIntervalMs: options.pingIntervalMs ?? 10_000,
    sendTimeoutMs: options.sendTimeoutMs ?? 30_000,
    bufferMessagesMax: options.bufferMessagesMax ?? 100_000,
    bufferBytesMax: options.bufferBytesMax ?? 64 * mebibyte,
  };
  if (!prefixPattern.test(settings.prefix))
    throw invalid("prefix", "use 1 to 40 letters, digits and dashes");
  for (const name of numbers)
    if (!Number.isSafeInteger(settings[name]) || settings[name] <= 0)
      throw invalid(name, "give a whole number above 0");
  if (settings.sendTimeoutMs > sendTimeoutMax)
    throw invalid("sendTimeoutMs", `give at most ${sendTimeoutMax}`);
  if (settings.replicas > replicasMax) throw invalid("replicas", `give at most ${replicasMax}`);
  return settings;
}

const numbers = [
  "replicas",
  "connectTimeoutMs",
  "pingIntervalMs",
  "sendTimeoutMs",
  "bufferMessagesMax",
  "bufferBytesMax",
] as const;

/** Throws OPTION_INVALID when it is no URL of NATS. */
function serverOf(text: string): URL {
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined;
  if (url === undefined || !["nats:", "tls:"].includes(url.protocol) || url.hostname === "")
    throw invalid("url", 'give a URL like "nats://user:password@host:4222"');
  return url;
}

function shown(url: URL): string {
  const copy = new URL(url);
  if (copy.password !== "") copy.password = "***";
  return copy.href;
}

function invalid(option: keyof NatsOptions, advice: string): WaybillError {
  return new WaybillError("OPTION_INVALID", `nats({ ${option} }): ${advice}.`, {
    details: { option },
  });
}
