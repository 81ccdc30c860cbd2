import { WaybillError } from "./errors.ts";
import { memory } from "./memory/index.ts";
import type { TransportFactory } from "./ports/transport.ts";

interface Scheme {
  /** The package that has the transport. */
  readonly from: string;
  /** The function in it that makes one. */
  readonly factory: string;
  readonly options: (url: URL) => unknown;
}

const amqp: Scheme = {
  from: "@waybill/rabbitmq",
  factory: "rabbitmq",
  options: ({ href }) => ({ url: href }),
};

const schemes: Readonly<Record<string, Scheme>> = {
  "amqp:": amqp,
  "amqps:": amqp,
  "sqlite:": {
    from: "@waybill/broker",
    factory: "embedded",
    options: ({ pathname }) => ({ directory: decodeURIComponent(pathname) }),
  },
};

/**
 * The transport that a URL names: `memory:`, `sqlite:./data`, `amqp://user:password@host/vhost`. Its package is loaded when it is asked for.
 * Throws OPTION_INVALID for a URL of no known scheme, and where its package is not installed, with the command that installs it.
 */
export async function transportOf(
  text: string,
  load: (name: string) => Promise<object> = (name) => import(name),
): Promise<TransportFactory> {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "memory:") return memory();
  const scheme = schemes[url?.protocol ?? ""];
  if (url === undefined || scheme === undefined)
    throw new WaybillError(
      "OPTION_INVALID",
      `connect({ transport }) is no URL of a transport; known are ${["memory:", ...Object.keys(schemes)].join(", ")} as in "sqlite:./data" and "amqp://127.0.0.1". For others give what their package makes.`,
    );
  const { from, factory, options } = scheme;
  const make: unknown = Reflect.get(await loaded(from, { load, protocol: url.protocol }), factory);
  if (typeof make !== "function")
    throw new WaybillError(
      "OPTION_INVALID",
      `The package ${from} has no ${factory}(): its version does not fit. Run: npm install ${from}`,
    );
  return make(options(url)) as TransportFactory;
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
