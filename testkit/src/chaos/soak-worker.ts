import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Schema, command, event, query } from "@waybill/contracts";
import {
  type Bus,
  type TransportFactory,
  connect,
  service,
  systemEnvironment,
} from "@waybill/core";
import { reallyWait } from "../environment.ts";
import type { HeapSample, SoakReport } from "./flat.ts";
import { Held } from "./held.ts";

export interface SoakSample extends HeapSample {
  /** Commands that were handled until then. */
  readonly handled: number;
  /** Commands per second that are offered. */
  readonly rate: number;
}

interface Item {
  readonly n: number;
  readonly note: string;
}

const Item: Schema<Item> = {
  "~standard": { version: 1, vendor: "soak", validate: (value) => ({ value: value as Item }) },
};
const Work = command("soak.work", { input: Item });
const Done = event("soak.done", { payload: Item });
const Double = query("soak.double", { input: Item, output: Item });

const { clock } = systemEnvironment;
const samplesMax = 60;
const inFlight = 200;
const measuredMs = 5_000;
const stepMs = 20;
const note = "x".repeat(400);
/** Ended calls whose ids a bus remembers: what it keeps of them is complete only after that. */
const callsRemembered = 10_000;

/**
 * The process of `soakSuite`: the whole of a script that the adapter puts beside its tests. It finds out how many commands a second go
 * through, each with an event and now and then a query, offers half of that, and tells its parent what it holds.
 */
export async function soakWorker(
  transportAt: (url: string) => TransportFactory,
  [url = "", duration = "0"]: readonly string[] = process.argv.slice(2),
): Promise<void> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const durationMs = Number(duration);
  const held = new Held();
  const { environment } = held;
  const seen = { handled: 0, heard: 0 };
  const worker = service("worker", { publishes: [Done] })
    .handle(Work, async (item, context) => {
      seen.handled += 1;
      await context.publish(Done, item);
    })
    .on(Done, () => void (seen.heard += 1))
    .answer(Double, ({ n }) => ({ n: n * 2, note: "" }));
  const caller = service("caller", { sends: [Work], asks: [Double] });
  const transport = transportAt(url);
  await using _ = await connect({ transport, environment, services: [worker] });
  await using bus = await connect({ transport, environment, services: [caller] });
  const load = new Load(bus);
  await load.each();
  await load.rest(seen);
  report({ rest: await held.atRest() });
  await load.fillCalls();
  const rate = (await load.most()) / 2;
  const began = clock.monotonic();
  const warmMs = durationMs / 3;
  for (let taken = 0, offered = 0; taken <= samplesMax;) {
    await reallyWait(stepMs);
    const at = clock.monotonic() - began;
    for (; offered < (at / 1_000) * rate; offered++) load.offer(offered);
    if (at < warmMs + (taken * (durationMs - warmMs)) / samplesMax) continue;
    taken += 1;
    collect();
    collect();
    const heap = process.memoryUsage().heapUsed;
    report({ sample: { at, heap, handled: seen.handled, rate } });
  }
  await load.rest(seen);
  report({ rest: await held.atRest() });
}

function report(what: SoakReport<SoakSample>): void {
  process.send?.(what);
}

/** What is sent and asked, never more than `inFlight` at a time. */
class Load {
  readonly #bus: Bus<typeof Work | typeof Double>;
  #waiting = 0;
  #sent = 0;

  constructor(bus: Bus<typeof Work | typeof Double>) {
    this.#bus = bus;
  }

  offer(n: number): void {
    if (this.#waiting >= inFlight) return;
    this.#waiting += 1;
    const saying = n % 20 === 0 ? this.#bus.ask(Double, { n, note: "" }) : this.#send(n);
    void Promise.resolve(saying).finally(() => (this.#waiting -= 1));
  }

  /** One of each kind. */
  async each(): Promise<void> {
    await this.#send(0);
    await this.#bus.ask(Double, { n: 0, note: "" });
  }

  async fillCalls(): Promise<void> {
    const lane = async (): Promise<void> => {
      for (let n = 0; n < callsRemembered / inFlight; n++)
        await this.#bus.ask(Double, { n, note: "" });
    };
    await Promise.all(Array.from({ length: inFlight }, lane));
  }

  /** Commands per second, as many as go. */
  async most(): Promise<number> {
    const end = clock.monotonic() + measuredMs;
    let sent = 0;
    const lane = async (): Promise<void> => {
      for (; clock.monotonic() < end; sent++) await this.#send(sent);
    };
    await Promise.all(Array.from({ length: inFlight }, lane));
    return (sent / measuredMs) * 1_000;
  }

  /** Waits until all that was said is answered, handled and heard. */
  async rest(seen: { readonly handled: number; readonly heard: number }): Promise<void> {
    while (this.#waiting > 0 || seen.handled < this.#sent || seen.heard < this.#sent)
      await reallyWait(stepMs);
  }

  async #send(n: number): Promise<void> {
    await this.#bus.send(Work, { n, note });
    this.#sent += 1;
  }
}
