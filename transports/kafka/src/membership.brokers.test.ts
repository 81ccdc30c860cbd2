import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Environment, systemEnvironment } from "@waybill/core";
import { TcpFaultProxy } from "@waybill/testkit";
import type { PartitionKey } from "./assignment.ts";
import { KafkaClient } from "./client.ts";
import { Corner, ignore, port, until } from "./corner.test.support.ts";
import { GroupSeat } from "./group-seat.ts";
import { Membership } from "./membership.ts";
import { type KafkaOptions, settingsOf, timingOf } from "./options.ts";
import { beginning } from "./progress.ts";
import type { Holder, Placed } from "./seat.ts";
import { Window } from "./window.ts";

/** A clock that can be put on; timers run as always. */
class Leaping {
  #aheadMs = 0;
  readonly environment: Environment;

  constructor() {
    const { clock } = systemEnvironment;
    this.environment = {
      ...systemEnvironment,
      clock: {
        now: () => clock.now() + this.#aheadMs,
        monotonic: () => clock.monotonic() + this.#aheadMs,
      },
    };
  }

  leap(ms: number): void {
    this.#aheadMs += ms;
  }
}

function partsIn({ prefix }: Corner, options: Partial<KafkaOptions> = {}) {
  const url = `kafka://127.0.0.1:${port}`;
  const leaping = new Leaping();
  const { environment } = leaping;
  const settings = settingsOf({
    url,
    prefix,
    sessionTimeoutMs: 6_000,
    heartbeatMs: 100,
    ...options,
  });
  return { leaping, settings, environment, timing: timingOf(settings), group: `${prefix}.group` };
}

describe("A member of a group", () => {
  test("reads partitions that are added, without anybody joining", async () => {
    await using corner = new Corner();
    const topic = `${corner.prefix}.growing`;
    const admin = corner.admin();
    await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 });
    const { leaping, settings, environment, ...rest } = partsIn(corner);
    const client = new KafkaClient(settings, environment, { name: "groups" });
    let mine: readonly PartitionKey[] = [];
    const membership = new Membership(
      { ...rest, settings, environment, client, topics: [topic] },
      {
        said: () => ({ owned: mine, leaving: false }),
        assigned: ({ keys }) => void (mine = keys),
        lost: ignore,
        fault: ignore,
      },
    );
    try {
      await until("the first", () => mine.length === 1);
      await admin.createPartitions({ topics: [{ name: topic, count: 3 }] });
      await until("all three", async () => {
        // Less than a session at a time, as if it had been heard of all the while.
        if (await membership.confirm()) leaping.leap(1_000);
        return mine.length === 3;
      });
    } finally {
      await membership.close();
      await client.close();
    }
  });

  test("reads a topic soon of which its broker had not heard when it joined", async () => {
    await using corner = new Corner();
    const topic = `${corner.prefix}.late`;
    const { settings, environment, ...rest } = partsIn(corner);
    const client = new KafkaClient(settings, environment, { name: "groups" });
    let mine: readonly PartitionKey[] | undefined;
    const membership = new Membership(
      { ...rest, settings, environment, client, topics: [topic] },
      {
        said: () => ({ owned: mine ?? [], leaving: false }),
        assigned: ({ keys }) => void (mine = keys),
        lost: ignore,
        fault: ignore,
      },
    );
    try {
      await until("nothing", () => mine?.length === 0);
      await corner.admin().createTopics({ topics: [topic], partitions: 1, replicas: 1 });
      await until("its partition", () => mine?.length === 1, 15_000);
    } finally {
      await membership.close();
      await client.close();
    }
  });

  test("is not sure when it was cut off for longer than a session, also while it tries to join", async () => {
    await using corner = new Corner();
    const topic = `${corner.prefix}.topic`;
    await corner.admin().createTopics({ topics: [topic], partitions: 1, replicas: 1 });
    await using proxy = await TcpFaultProxy.listen({ port });
    const cut = { reach: () => ({ host: "127.0.0.1", port: proxy.port }), requestTimeoutMs: 1_500 };
    const url = `kafka://127.0.0.1:${proxy.port}`;
    const { leaping, settings, environment, ...rest } = partsIn(corner, { ...cut, url });
    const client = new KafkaClient(settings, environment, { name: "groups" });
    let [joined, lost] = [0, 0];
    const membership = new Membership(
      { ...rest, settings, environment, client, topics: [topic] },
      {
        said: () => ({ owned: [], leaving: false }),
        assigned: () => void (joined += 1),
        lost: () => void (lost += 1),
        fault: ignore,
      },
    );
    try {
      await until("it is of the group", () => joined > 0 && membership.isLeased);
      proxy.swallow(["toClient", "toServer"]);
      leaping.leap(rest.timing.sessionMs + 500);
      await until("it is told", () => lost === 1);
      assert.equal(membership.isLeased, false);
      assert.equal(await membership.confirm(), false);
      // It has lost everything, and a join that is under way gives nothing back yet.
      membership.rejoin();
      assert.equal(await membership.confirm(), false);
      assert.equal(membership.isLeased, false);
    } finally {
      proxy.heal();
      await membership.close();
      await client.close();
    }
  });
});

/** Holds back the first answer to where a group stands, and says once that the member is none. */
class Holding extends KafkaClient {
  readonly asked: (() => void)[] = [];
  expel = false;

  override async ask<Answer>(
    ...[broker, name, ...args]: Parameters<KafkaClient["ask"]>
  ): Promise<Answer> {
    if (name === "Heartbeat" && this.expel) {
      this.expel = false;
      // A member that nobody knows.
      args[2] = "nobody";
    }
    const answer = await super.ask<Answer>(broker, name, ...args);
    if (name === "OffsetFetch")
      await new Promise<void>((resolve) => {
        this.asked.push(resolve);
        if (this.asked.length > 1) resolve();
      });
    return answer;
  }
}

test("a partition that is lost while it is asked where to begin is begun once, by the later asking", async () => {
  await using corner = new Corner();
  const topic = `${corner.prefix}.topic`;
  await corner.admin().createTopics({ topics: [topic], partitions: 1, replicas: 1 });
  const { settings, environment, ...rest } = partsIn(corner);
  const client = new Holding(settings, environment, { name: "groups" });
  const isOurs = (): boolean => false;
  const place = { ...rest, settings, environment, client, topics: [topic], isOurs } as const;
  const seat = new GroupSeat({ ...place, start: "earliest" });
  const begun: Placed[] = [];
  const holder: Holder = {
    assigned: (places) => void begun.push(...places),
    sought: ignore,
    wanted: (keys) => keys.forEach((key) => seat.release(key)),
    lost: ignore,
    left: ignore,
    fault: ignore,
  };
  try {
    seat.begin(holder);
    await until("it asks where to begin", () => client.asked.length === 1);
    client.expel = true;
    await until("it begins after it has joined again", () => begun.length === 1);
    client.asked[0]?.();
    // Whatever the first answer set off has happened when a round to the broker is over.
    await seat.keep([new Window(`${topic}:0`, beginning(0))]);
    assert.deepEqual(
      begun.map(({ key }) => key),
      [`${topic}:0`],
    );
  } finally {
    await seat.close();
    await client.close();
  }
});
