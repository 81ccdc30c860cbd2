import { type Schema, type Stream, stream } from "@waybill/contracts";
import {
  type Bus,
  type Logger,
  type Outgoing,
  type Service,
  type TransportFactory,
  connect,
  memory,
  service,
} from "@waybill/core";
import { reallyWait } from "./waiting.fixture.ts";
import type { CaptureService } from "./index.ts";

export interface Item {
  readonly kind: string;
  readonly row?: Readonly<Record<string, unknown>> | undefined;
  readonly old?: Readonly<Record<string, unknown>> | undefined;
}

const item: Schema<Item> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as Item }) },
};

/** One partition takes all, so that its order is the order of publishing. */
export const Changes: Stream<"capture.changes", Item> = stream("capture.changes", {
  item,
  key: () => "all",
});

export interface Seen extends Item {
  readonly id: string;
}

/** A service that remembers what was published, in its order. */
export function recorder(seen: Seen[]): Service {
  return service("recorder").consume(Changes, (value, { header }) => {
    seen.push({ ...value, id: header.id });
  });
}

/** A broker that refuses, or is slow to confirm, when it is told to. */
export class Gate {
  isOpen = true;
  /** How many batches it takes before it closes by itself. */
  closesAfter: number = Number.POSITIVE_INFINITY;
  refused = 0;
  readonly #inner: TransportFactory;

  constructor(inner: TransportFactory = memory()) {
    this.#inner = inner;
  }

  get transport(): TransportFactory {
    const send = (inner: (batch: readonly Outgoing[]) => Promise<void>) => {
      return async (batch: readonly Outgoing[]): Promise<void> => {
        this.closesAfter -= 1;
        if (this.closesAfter < 0) this.isOpen = false;
        if (this.isOpen) return inner(batch);
        this.refused += 1;
        throw new Error("The broker is away.");
      };
    };
    return {
      name: this.#inner.name,
      open: async (host) => {
        const opened = await this.#inner.open(host);
        return new Proxy(opened, {
          get: (target, name) => {
            const value: unknown = Reflect.get(target, name, target);
            if (name === "send") return send((batch) => target.send(batch));
            return typeof value === "function" ? (value.bind(target) as unknown) : value;
          },
        });
      },
    };
  }
}

export class Log implements Logger {
  readonly lines: string[] = [];
  readonly debug = (): void => undefined;
  readonly info = (text: string): void => void this.lines.push(`info ${text}`);
  readonly warn = (text: string): void => void this.lines.push(`warn ${text}`);
  readonly error = (text: string): void => void this.lines.push(`error ${text}`);
}

export interface Started extends AsyncDisposable {
  readonly bus: Bus;
  readonly seen: Seen[];
  readonly log: Log;
  readonly gate: Gate;
  state(): Promise<string>;
}

/** A bus with that capture over a broker of its own, and all that it publishes. */
export async function start(
  made: CaptureService,
  {
    gate = new Gate(),
    seen = [],
    declare = "create",
  }: { gate?: Gate; seen?: Seen[]; declare?: "create" | "verify" } = {},
): Promise<Started> {
  const log = new Log();
  const bus: Bus = await connect({
    transport: gate.transport,
    services: [made, recorder(seen)],
    logger: log,
    declare,
  });
  return {
    bus,
    seen,
    log,
    gate,
    state: async () => (await bus.health()).captures[0]?.state ?? "",
    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}

const waitMs = 60_000;

/** Fails with what it was. */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  found: () => unknown = () => "",
): Promise<void> {
  const end = performance.now() + waitMs;
  while (!(await isSo())) {
    if (performance.now() > end)
      throw new Error(`Not within ${waitMs} ms: ${what}. ${JSON.stringify(found())}`);
    await reallyWait(20);
  }
}
