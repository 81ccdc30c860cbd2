import { type Bus, type TransportFactory, service } from "@waybill/core";
import { quick } from "../bus/case.ts";
import { note, repeated } from "../bus/load.ts";
import { type BusStage, order } from "../bus/stage.ts";

/** Offered every step, far below what any broker here can do, so that a lower rate says something about recovery and nothing about the machine. */
const perStep = 2;
const stepMs = 20;
const offeredRate = (perStep * 1_000) / stepMs;
const steadyShareMin = 0.8;
/** Sends that wait for their confirmation; when the line is cut nothing more is offered than that. */
const waitingMax = 200;
const windowSteps = 25;
/** What a broker delivered into a dead line comes again when its lock has run out. */
const lockMs = 3_000;

/** A steady flow of commands through a handler that publishes, and what became of each. */
export class Flow implements Disposable {
  readonly #application: BusStage;
  readonly #confirmed: string[] = [];
  readonly #handled = new Map<string, number>();
  readonly #heard = new Map<string, number>();
  readonly #ended = new AbortController();
  #offered = 0;
  /** Steps that were offered in, also those in which nothing more could wait. */
  #steps = 0;
  #waiting = 0;
  #offering: Promise<void> = Promise.resolve();
  #bus: Bus | undefined;

  constructor(application: BusStage) {
    this.#application = application;
  }

  /** Connects by that transport and begins to offer; resolves when messages have come through. */
  async begin(transport?: TransportFactory): Promise<Bus> {
    const { PlaceOrder, OrderPlaced } = this.#application.contracts;
    // A handler that cannot publish for a while has not failed for good.
    const options = { lockMs, retry: { ...quick, attempts: 100 } };
    const worker = service("worker", { publishes: [OrderPlaced] })
      .handle(
        PlaceOrder,
        async (placed, context) => {
          note(this.#handled, placed);
          await context.publish(OrderPlaced, placed);
        },
        options,
      )
      .on(OrderPlaced, (placed) => note(this.#heard, placed), options);
    this.#bus = await this.#application.connect([worker], transport);
    this.#offering = this.#offer(this.#bus);
    await this.#application.until("it flows", () => this.#heard.size > 50);
    return this.#bus;
  }

  /**
   * Messages that are confirmed and come through in one window from now, per second of its steps: where the machine is slow, steps come late, and
   * that is not the broker's fault. No more than are offered: what had piled up before is no rate that could come again.
   */
  async rate(): Promise<number> {
    const [confirmed, heard, steps] = [this.#confirmed.length, this.#heard.size, this.#steps];
    while (this.#steps < steps + windowSteps) await this.#application.stage.pass(stepMs);
    const offered = (this.#steps - steps) * perStep;
    const came = Math.min(this.#confirmed.length - confirmed, this.#heard.size - heard, offered);
    return ((came / offered) * perStep * 1_000) / stepMs;
  }

  /** The first window's rate that is near to what is offered: a lower one would measure the recovery against a flow that never came. */
  async steady(withinMs: number): Promise<number> {
    const { clock } = this.#application.stage.environment;
    const until = clock.monotonic() + withinMs;
    for (;;) {
      const rate = await this.rate();
      if (rate >= offeredRate * steadyShareMin) return rate;
      if (clock.monotonic() > until)
        throw new Error(
          `it flows at ${Math.round(rate)} messages a second before anything happens, of ${offeredRate} that are offered; ${this.#state}`,
        );
    }
  }

  /**
   * Waits until two windows in a row, the first of which what had piled up may have filled, bring so much; answers the milliseconds until
   * the second began. The limit is one of its steps, too.
   */
  async recovered(rate: number, withinMs: number): Promise<number> {
    const { clock } = this.#application.stage.environment;
    const from = clock.monotonic();
    const steps = this.#steps;
    let last = 0;
    for (let before = 0; ; before = last) {
      const began = clock.monotonic() - from;
      const spentMs = (this.#steps - steps) * stepMs;
      last = await this.rate();
      if (before >= rate && last >= rate) return began;
      if (spentMs > withinMs)
        throw new Error(
          `${Math.round(withinMs)} ms after the fault it flows at ${Math.round(last)} messages a second, not ${Math.round(rate)}; ${this.#state}`,
        );
    }
  }

  /** Stops to offer and waits until everything that was confirmed has come through; answers the milliseconds that this took. */
  async end(withinMs: number): Promise<number> {
    const { clock } = this.#application.stage.environment;
    const from = clock.monotonic();
    await this.stop(withinMs);
    const lost = (): number =>
      this.#confirmed.filter((id) => !this.#handled.has(id) || !this.#heard.has(id)).length;
    await this.#application
      .until("all that was confirmed has come through", () => lost() === 0, withinMs)
      .catch((error: unknown) => {
        const unheard = this.#confirmed.filter(
          (id) => this.#handled.has(id) && !this.#heard.has(id),
        );
        throw new Error(
          `${lost()} of ${this.#confirmed.length} confirmed messages are missing; of those ${unheard.length} were handled, and what their handler published is`,
          { cause: error },
        );
      });
    return clock.monotonic() - from;
  }

  get #state(): string {
    return `of ${this.#offered} offered ${this.#confirmed.length} are confirmed and ${this.#waiting} wait, ${this.#handled.size} were handled and ${this.#heard.size} heard`;
  }

  /** How long it has offered, by its own steps: on a machine that is busy with others they come late, and so does all else. */
  get offeredMs(): number {
    return this.#steps * stepMs;
  }

  get confirmed(): number {
    return this.#confirmed.length;
  }

  /** Ids that a handler got more than once. */
  get repeated(): readonly string[] {
    return [...repeated(this.#handled), ...repeated(this.#heard)];
  }

  async #offer(bus: Bus): Promise<void> {
    const { PlaceOrder } = this.#application.contracts;
    while (!this.#ended.signal.aborted) {
      this.#steps += 1;
      for (let count = 0; count < perStep && this.#waiting < waitingMax; count++) {
        const id = String(this.#offered++);
        this.#waiting += 1;
        void bus
          .send(PlaceOrder, order(id))
          // What was not confirmed may be lost, and its sender knows.
          .then(
            () => void this.#confirmed.push(id),
            () => undefined,
          )
          .finally(() => (this.#waiting -= 1));
      }
      await this.#application.stage.pass(stepMs);
    }
  }

  /** Offers no more, without waiting for anything. */
  [Symbol.dispose](): void {
    this.#ended.abort();
  }

  /** Offers no more, and waits until every send has ended, either way. */
  async stop(withinMs: number): Promise<void> {
    this.#ended.abort();
    await this.#offering;
    await this.#application.until("every send has ended", () => this.#waiting === 0, withinMs);
  }
}
