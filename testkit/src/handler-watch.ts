import type { Service } from "@waybill/core";

/** One run of one handler. */
export interface Run {
  readonly contract: string;
  readonly service: string;
  /** The value; for a batch the list of its values. */
  readonly input: unknown;
  readonly attempt: number;
  /** What it returned; undefined while it runs and when it threw. */
  readonly result: unknown;
  /** What it threw. */
  readonly error: unknown;
  readonly state: "running" | "returned" | "threw";
}

export interface HandlerWatch<Services> {
  /** The same services with every handler watched. */
  readonly services: Services;
  readonly runs: readonly Run[];
  /** Handlers that run and do not wait for time or for an answer. */
  busy(): number;
  /** Resolves when a handler ends or begins to wait. */
  changed(): Promise<void>;
}

type Writable<Value> = { -readonly [Key in keyof Value]: Value[Key] };
type Handler = Service["bindings"][number]["handler"];
type AnyContext = Record<string, any>;

interface Watched {
  readonly contract: string;
  readonly service: string;
  readonly isBatch: boolean;
}

/** Waits that end by time or by another handler, so that a handler in one of them is at rest. */
const waits = ["sleep", "ask"] as const;

interface RunWaits {
  readonly waitFor: WaitFor;
  /** The run has ended, whatever it left open. */
  readonly end: () => void;
}

/** The waits of one run. It is at rest while any of them is open, however many there are. */
function runWaits(count: (change: 1 | -1) => void): RunWaits {
  let open = 0;
  let hasEnded = false;
  return {
    waitFor: async (wait) => {
      open += 1;
      if (open === 1 && !hasEnded) count(1);
      try {
        return await wait();
      } finally {
        open -= 1;
        if (open === 0 && !hasEnded) count(-1);
      }
    },
    end: () => {
      hasEnded = true;
      if (open > 0) count(-1);
    },
  };
}

/** Wraps the handlers, because a handler is the one place that shows whether work is going on. */
export function watchHandlers<Services extends readonly Service[]>(
  services: Services,
): HandlerWatch<Services> {
  const runs: Run[] = [];
  let running = 0;
  let waiting = 0;
  let wake: () => void = () => undefined;
  const waitsOf = (): RunWaits =>
    runWaits((change) => {
      waiting += change;
      if (change > 0) wake();
    });
  const watched = (handler: Handler, { isBatch, ...names }: Watched): Handler => {
    return async (given, context: AnyContext) => {
      const items = isBatch ? (given as readonly AnyContext[]) : [];
      const run: Writable<Run> = {
        ...names,
        input: isBatch ? items.map(({ value }) => value as unknown) : given,
        attempt: context["attempt"],
        result: undefined,
        error: undefined,
        state: "running",
      };
      runs.push(run);
      running += 1;
      const { waitFor, end } = waitsOf();
      try {
        const input = isBatch ? items.map((item) => watchItem(item, waitFor)) : given;
        run.result = await handler(input, watchWaits(context, waitFor));
        run.state = "returned";
        return run.result;
      } catch (error) {
        run.error = error;
        run.state = "threw";
        throw error;
      } finally {
        end();
        running -= 1;
        wake();
      }
    };
  };
  return {
    services: services.map((service) => watchService(service, watched)) as unknown as Services,
    runs,
    busy: () => running - waiting,
    changed: () => new Promise((resolve) => (wake = resolve)),
  };
}

function watchService(
  service: Service,
  watched: (handler: Handler, names: Watched) => Handler,
): Service {
  const bindings = service.bindings.map((binding) =>
    // A feed runs as long as its caller reads it: it never counts as work to wait for.
    binding.verb === "serve"
      ? binding
      : {
          ...binding,
          handler: watched(binding.handler, {
            contract: binding.contract.name,
            service: service.name,
            isBatch: binding.batch !== undefined,
          }),
        },
  );
  return { ...service, bindings };
}

type WaitFor = <Value>(wait: () => Promise<Value>) => Promise<Value>;

function watchWaits(context: AnyContext, waitFor: WaitFor): AnyContext {
  return new Proxy(context, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      const bound = member.bind(target) as (...rest: unknown[]) => any;
      if ((waits as readonly unknown[]).includes(name))
        return (...rest: unknown[]) => waitFor(() => bound(...rest) as Promise<unknown>);
      if (name === "open")
        return (...rest: unknown[]) =>
          watchItems(bound(...rest) as AsyncIterable<unknown>, waitFor);
      return bound;
    },
  });
}

/** A message of a batch, whose context waits like any other. */
function watchItem(item: AnyContext, waitFor: WaitFor): AnyContext {
  return { ...item, context: watchWaits(item["context"] as AnyContext, waitFor) };
}

async function* watchItems(
  items: AsyncIterable<unknown>,
  waitFor: WaitFor,
): AsyncIterable<unknown> {
  const iterator = items[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await waitFor(() => iterator.next());
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}
