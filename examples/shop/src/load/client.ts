import { sleep, systemEnvironment } from "waybill";
import type { OrderState, OrderView } from "../contracts/ordering.ts";
import type { DeadLetter } from "../storefront/dead-letters.ts";

const { clock, timers } = systemEnvironment;
const patienceMs = 60_000;

/** The storefront's API as a browser would use it, by one that does not give up: services may die while it talks to them. */
export class ShopClient {
  readonly #url: string;
  readonly #cookie: string;

  constructor(url: string, visitor: string = systemEnvironment.id()) {
    this.#url = url;
    this.#cookie = `visitor=${visitor}`;
  }

  /** Everything here may be said twice, so whatever gets no clear answer is said again. */
  async call<Answer>(method: "GET" | "POST", path: string, body?: unknown): Promise<Answer> {
    const endsAt = clock.monotonic() + patienceMs;
    for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 1_000)) {
      const response = await this.#try(method, path, body);
      if (response?.ok === true) return (await response.json()) as Answer;
      if (response !== undefined && response.status < 500) {
        throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
      }
      if (clock.monotonic() > endsAt)
        throw new Error(`${method} ${path}: no answer in ${patienceMs} ms.`);
      await sleep(timers, pauseMs);
    }
  }

  /** The states of an order until its end, or until the signal is aborted. */
  async *watch(orderId: string, signal: AbortSignal): AsyncIterable<OrderView> {
    while (!signal.aborted) {
      try {
        for await (const order of this.#events(`/api/orders/${orderId}/events`, signal)) {
          yield order;
          if (["completed", "rejected", "cancelled"].includes(order.state)) return;
        }
      } catch {
        // Whoever served the feed is gone; another does in a moment.
      }
      await sleep(timers, 200, signal).catch(() => undefined);
    }
  }

  /** Of the latest orders of this visitor. */
  async stateOf(orderId: string): Promise<OrderState | undefined> {
    const orders = await this.call<OrderView[]>("GET", "/api/orders");
    return orders.find((order) => order.orderId === orderId)?.state;
  }

  async deadLetters(): Promise<DeadLetter[]> {
    const all: DeadLetter[] = [];
    for (;;) {
      const after = all.at(-1)?.handle;
      const query = after === undefined ? "" : `?after=${encodeURIComponent(after)}`;
      const page = await this.call<DeadLetter[]>("GET", `/api/dead-letters${query}`);
      all.push(...page);
      if (page.length < 100) return all;
    }
  }

  async #try(method: string, path: string, body: unknown): Promise<Response | undefined> {
    try {
      return await fetch(`${this.#url}${path}`, {
        method,
        headers: { cookie: this.#cookie, "content-type": "application/json" },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
    } catch {
      return undefined;
    }
  }

  async *#events(path: string, signal: AbortSignal): AsyncIterable<OrderView> {
    const { body } = await fetch(`${this.#url}${path}`, {
      headers: { cookie: this.#cookie },
      signal,
    });
    let text = "";
    for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const events = (text + chunk).split("\n\n");
      text = events.pop() ?? "";
      for (const event of events) {
        if (event.startsWith('data: {"order"')) {
          yield (JSON.parse(event.slice(6)) as { order: OrderView }).order;
        }
      }
    }
  }
}
