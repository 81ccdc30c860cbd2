import type { Delivery } from "../ports/transport.ts";
import type { Intake, Route } from "../wiring/route.ts";
import type { Runtime } from "../runtime.ts";
import { readBody } from "../steps/decode.ts";
import type { Rated } from "./rate-gate.ts";
import { RateKeys } from "./rate-keys.ts";
import { type RateLimit, intervalMs, rateKeysMax } from "./rate-limit.ts";

interface RouteRate {
  readonly keys: RateKeys;
  readonly key: RateLimit["key"];
  readonly mayGoBack: boolean;
}

/** A key is somebody else's text: longer ones share a rate when they begin alike. */
const keyCharsMax = 256;

/** The rates of the handlers of one address. */
export class Rates {
  readonly #runtime: Runtime;
  readonly #find: (type: string) => Route | undefined;
  readonly #rates: ReadonlyMap<Route, RouteRate>;

  constructor(intake: Intake, runtime: Runtime, find: (type: string) => Route | undefined) {
    this.#runtime = runtime;
    this.#find = find;
    const limited = intake.routes.filter(({ options }) => options.rateLimit !== undefined);
    this.#rates = new Map(limited.map((route) => [route, this.#rateOf(route, intake)]));
  }

  get any(): boolean {
    return this.#rates.size > 0;
  }

  /** Undefined for a message whose handler has no rate. */
  readonly of = ({ envelope }: Delivery): Rated | undefined => {
    const route = this.#find(envelope.header.type);
    const rate = route === undefined ? undefined : this.#rates.get(route);
    if (route === undefined || rate === undefined) return undefined;
    const { keys, key, mayGoBack } = rate;
    if (key === undefined) return { keys, key: "", mayGoBack };
    return { keys, key: this.#keyOf(route, envelope, key), mayGoBack };
  };

  /** What has no readable key shares a rate; if it is the body that cannot be read, the pipeline says so. */
  #keyOf(
    { contract }: Route,
    envelope: Delivery["envelope"],
    key: NonNullable<RateLimit["key"]>,
  ): string {
    try {
      return `key ${key(readBody(envelope, contract, this.#runtime.codec))}`.slice(0, keyCharsMax);
    } catch {
      return "";
    }
  }

  #rateOf({ options, handlerName }: Route, { source, routes }: Intake): RouteRate {
    const limit = options.rateLimit ?? {};
    let told = false;
    const onForget = (): void => {
      if (told) return;
      told = true;
      this.#runtime.logger.warn(
        `${handlerName} is limited by more than ${rateKeysMax} keys at a time; the one used longest ago begins anew each time, and may go over its rate. Choose a coarser key.`,
      );
    };
    return {
      keys: new RateKeys(
        { intervalMs: intervalMs(limit), burst: limit.burst ?? 1 },
        { keysMax: rateKeysMax, onForget },
      ),
      key: limit.key,
      mayGoBack:
        source.kind !== "stream" &&
        this.#runtime.transport.capabilities.delayMsMax > 0 &&
        // Where nothing else comes, what waits may as well wait here.
        (limit.key !== undefined || routes.length > 1),
    };
  }
}
