import { WaybillError } from "@waybill/core";

/** Which RabbitMQ, and how carefully. */
export interface RabbitmqOptions {
  /** `amqp://user:password@host:5672/vhost`, or `amqps://` for TLS. */
  readonly url: string;
  /** What a server with a certificate of your own, or one that asks for yours, needs; with `amqps://`. */
  readonly tls?: RabbitmqTls;
  /** Stands before every name on the broker, so that several systems can share a virtual host. Letters, digits, dots and dashes. Default: nothing. */
  readonly prefix?: string;
  /** Who belongs together: `bus.deadLetters` and `bus.health()` tell of what all processes with the same system and prefix have declared. As `prefix`, and not empty. Default "waybill". */
  readonly system?: string;
  /**
   * Seconds between signs of life, 1 to 600. A process that says nothing for twice that loses its connection, and with it everything it had not settled:
   * on RabbitMQ this, and not `lockMs`, bounds how long a stalled process holds its messages. Default 10.
   */
  readonly heartbeatSeconds?: number;
  /** Milliseconds for a connection to be made. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Milliseconds for the broker to confirm what is sent, reconnecting included; then `send` rejects with TRANSPORT_FAILED. Default 30,000. */
  readonly sendTimeoutMs?: number;
  /** Largest body of one message in bytes; RabbitMQ itself takes 128 MiB. Default 16 MiB. */
  readonly bodyBytesMax?: number;
  /** Most messages of `send` that wait for their confirmation; above it `send` rejects with BUFFER_FULL. Default 100,000. */
  readonly bufferMessagesMax?: number;
  /** Most bytes of such messages. Default 64 MiB. */
  readonly bufferBytesMax?: number;
}

export interface RabbitmqTls {
  readonly ca?: string | Uint8Array;
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  readonly passphrase?: string;
  readonly servername?: string;
}

export interface Settings extends Required<Omit<RabbitmqOptions, "tls">> {
  readonly tls: RabbitmqTls;
  /** The URL without its password, for errors and logs. */
  readonly shownUrl: string;
}

const mebibyte = 1024 * 1024;
const bodyBytesLimit = 128 * mebibyte;
const prefixPattern = /^[A-Za-z0-9.-]{0,40}$/;
const heartbeatSecondsMax = 600;

/** Fills in the defaults; throws OPTION_INVALID with the name of the option at fault. */
export function settingsOf(options: RabbitmqOptions): Settings {
  const settings: Settings = {
    url: options.url,
    shownUrl: shown(options.url),
    tls: options.tls ?? {},
    prefix: options.prefix ?? "",
    system: options.system ?? "waybill",
    heartbeatSeconds: options.heartbeatSeconds ?? 10,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    sendTimeoutMs: options.sendTimeoutMs ?? 30_000,
    bodyBytesMax: options.bodyBytesMax ?? 16 * mebibyte,
    bufferMessagesMax: options.bufferMessagesMax ?? 100_000,
    bufferBytesMax: options.bufferBytesMax ?? 64 * mebibyte,
  };
  if (!prefixPattern.test(settings.prefix))
    throw invalid("prefix", "use at most 40 letters, digits, dots and dashes");
  if (settings.system === "" || !prefixPattern.test(settings.system))
    throw invalid("system", "use 1 to 40 letters, digits, dots and dashes");
  for (const name of numbers)
    if (!Number.isSafeInteger(settings[name]) || settings[name] <= 0)
      throw invalid(name, "give a whole number above 0");
  if (settings.heartbeatSeconds > heartbeatSecondsMax)
    throw invalid("heartbeatSeconds", `give at most ${heartbeatSecondsMax}`);
  if (settings.bodyBytesMax > bodyBytesLimit)
    throw invalid("bodyBytesMax", `RabbitMQ takes at most ${bodyBytesLimit} bytes`);
  return settings;
}

const numbers = [
  "heartbeatSeconds",
  "connectTimeoutMs",
  "sendTimeoutMs",
  "bodyBytesMax",
  "bufferMessagesMax",
  "bufferBytesMax",
] as const;

/** Throws OPTION_INVALID when it is no URL of RabbitMQ. */
function shown(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["amqp:", "amqps:"].includes(url.protocol) || url.hostname === "")
    throw invalid("url", 'give a URL like "amqp://user:password@host:5672/vhost"');
  if (url.password !== "") url.password = "***";
  return url.href;
}

function invalid(option: keyof RabbitmqOptions, advice: string): WaybillError {
  return new WaybillError("OPTION_INVALID", `rabbitmq({ ${option} }): ${advice}.`, {
    details: { option },
  });
}
