import assert from "node:assert/strict";
import { test } from "node:test";
import type { Settled } from "@waybill/core";
import { type FakeEnvironment, fakeEnvironment } from "@waybill/testkit";
import type { NatsDelivery } from "./delivery.ts";
import { Leases } from "./leases.ts";
import type { Settling } from "./settling.ts";

interface Played {
  readonly environment: FakeEnvironment;
  readonly leases: Leases;
  readonly delivery: NatsDelivery;
  readonly lost: () => number;
}

/** One delivery, and a server that answers renewals so. */
function play(answer: () => Promise<Settled>): Played {
  const environment = fakeEnvironment();
  const settling = { tell: answer } as unknown as Settling;
  const leases = new Leases({ environment, settling, freed: () => undefined });
  leases.lockMs = 300;
  let lost = 0;
  const delivery = {
    message: { sequence: 1 },
    bytes: 1,
    leasedAt: environment.clock.monotonic(),
    isRenewed: false,
    onLockLost: () => (lost += 1),
  } as unknown as NatsDelivery;
  leases.take(delivery);
  return { environment, leases, delivery, lost: () => lost };
}

test("a lease that the server did not renew is lost before the server's clock can have ended it", async () => {
  const { environment, leases, delivery, lost } = play(() => new Promise(() => undefined));
  await environment.advance(199);
  assert.equal(leases.holds(delivery), true);
  await environment.advance(2);
  assert.equal(leases.holds(delivery), false);
  assert.equal(lost(), 1);
});

test("a lease that the server has renewed lasts for the whole lock from when that was asked", async () => {
  let answers = 0;
  const { environment, leases, delivery, lost } = play(() => {
    answers += 1;
    return answers === 1 ? Promise.resolve("settled") : Promise.resolve("unknown");
  });
  await environment.advance(399);
  assert.equal(leases.holds(delivery), true);
  await environment.advance(2);
  assert.equal(leases.holds(delivery), false);
  assert.equal(lost(), 1);
});
