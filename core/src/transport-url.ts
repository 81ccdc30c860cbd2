import { WaybillError } from "./errors.ts";
import { memory } from "./memory/index.ts";
import type { TransportFactory } from "./ports/transport.ts";

interface Scheme {
  /** The package that has the transport. */
  readonly from: string;
  /** The function in it that makes one. */
  readonly factory: string;
  readonly options: (url: string) => unknown;
  /** Its URL may name several hosts, separated by commas, which `URL` does not read. */
  readonly manyHosts?: true;
}

const amqp: Scheme = {
  from: "@waybill/rabbitmq",
  factory: "rabbitmq",
  options: (url) => shared(url, (bare) => new URL(bare).href),
};

const kafka: Scheme = {
  from: "@waybill/kafka",
  factory: "kafka",
  options: (url) => shared(url),
  manyHosts: true,
};

const schemes: Readonly<Record<string, Scheme>> = {
  "amqp:": amqp,
  "amqps:": amqp,
  "kafka:": kafka,
  "kafkas:": kafka,
  "nats:": {
    from: "@waybill/nats",
    factory: "nats",
    options: (url) => shared(url),
    manyHosts: true,
  },
  "sqlite:": {
    from: "@waybill/broker",
    factory: "embedded",
    options: (url) => ({ directory: decodeURIComponent(new URL(url).pathname) }),
  },
};

const protocolPattern = /^[a-z][a-z0-9+.-]*:/i;

/**
 * The transport that a URL names: `memory:`, `sqlite:./data`, `amqp://user:password@host/vhost`, `nats://host`, `kafka://one:9092,two:9092`. Its package is loaded when it is asked for.
 * `?prefix=shop` behind the URL of a server stands before every name there, so that several systems can share it.
 * Throws OPTION_INVALID for a URL of no known scheme, and where its package is not installed, with the command that installs it.
 */
export async function transportOf(
  text: string,
  load: (name: string) => Promise<object> = (name) => import(name),
): Promise<TransportFactory> {
  const protocol = protocolPattern.exec(text)?.[0].toLowerCase() ?? "";
  if (protocol === "memory:") return memory();
  const scheme = schemes[protocol];
  if (scheme === undefined || (scheme.manyHosts !== true && !URL.canParse(text)))
    throw new WaybillError(
      "OPTION_INVALID",
      `connect({ transport }) is no URL of a transport; known are ${["memory:", ...Object.keys(schemes)].join(", ")} as in "sqlite:./data" and "amqp://127.0.0.1". For others give what their package makes.`,
    );
  const { from, factory, options } = scheme;
  const make: unknown = Reflect.get(await loaded(from, { load, protocol }), factory);
  if (typeof make !== "function")
    throw new WaybillError(
      "OPTION_INVALID",
      `The package ${from} has no ${factory}(): its version does not fit. Run: npm install ${from}`,
    );
  return make(options(text)) as TransportFactory;
}

const prefixPattern = /([?&])prefix=([^&#]*)(&?)/;

/** What it says besides stays in the URL for the transport to read. */
function shared(
  text: string,
  urlOf: (bare: string) => string = (bare) => bare,
): { readonly url: string; readonly prefix?: string } {
  const [all, before, prefix] = prefixPattern.exec(text) ?? [];
  if (all === undefined || prefix === undefined) return { url: urlOf(text) };
  const bare = text.replace(prefixPattern, all.endsWith("&") ? `${before}` : "");
  return { url: urlOf(bare), prefix: decodeURIComponent(prefix) };
}

async function loaded(
  name: string,
  { load, protocol }: { load: (name: string) => Promise<object>; protocol: string },
): Promise<object> {
  try {
    return await load(name);
  } catch (cause) {
    const { code } = Object(cause) as { readonly code?: unknown };
    if (code !== "ERR_MODULE_NOT_FOUND") throw cause;
    throw new WaybillError(
      "OPTION_INVALID",
      `A transport "${protocol}" needs the package ${name}, which is not installed. Run: npm install ${name}`,
      { cause },
    );
  }
}
