import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connect, service } from "@waybill/core";
import { callCases } from "./bus/calls.ts";
import type { BusCase } from "./bus/case.ts";
import { loadCases } from "./bus/load.ts";
import { messageCases } from "./bus/messages.ts";
import { BusStage } from "./bus/stage.ts";
import { streamCases } from "./bus/streams.ts";
import type { SuiteSubject } from "./suite/stage.ts";

export interface BusSuiteOptions {
  /** A broker of its own for each case, or a new corner of a shared one: names do not repeat between cases. */
  readonly create: () => SuiteSubject | Promise<SuiteSubject>;
  /** Where `connect({ transport: "…://" })` finds the broker. */
  readonly url?: string;
}

/** What applications do on every broker. */
export const busCases: readonly BusCase[] = [
  ...messageCases,
  ...callCases,
  ...streamCases,
  ...loadCases,
];

/**
 * Proves that the same services run on one transport, through the whole of `connect()`: every kind of contract, retries, dead letters,
 * and closing under load. On real time.
 *
 * @example
 * busSuite("rabbitmq", { create: subject, url: "amqp://127.0.0.1:5672" });
 */
export function busSuite(name: string, { create, url }: BusSuiteOptions): void {
  describe(`${name}: applications`, () => {
    for (const { id, title, notFor, run } of busCases)
      test(`${id}: ${title}`, async (context) => {
        const application = new BusStage(await create());
        try {
          const reason = notFor?.((await application.stage.open()).capabilities);
          if (reason !== undefined) return context.skip(reason);
          await run(application);
        } finally {
          await application.close();
        }
      });
    if (url === undefined) return;
    test("bus.url: connect takes a URL of it", async () => {
      await using bus = await connect({ transport: url, services: [service("nobody")] });
      assert.equal((await bus.health()).status, "up");
    });
  });
}
