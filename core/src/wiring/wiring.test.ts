import assert from "node:assert/strict";
import { test } from "node:test";
import { type Command, command, event, feed, query, stream } from "@waybill/contracts";
import * as z from "zod";
import { type ConnectOptions, connect } from "../connect.ts";
import { WaybillError } from "../errors.ts";
import { memory } from "../memory/index.ts";
import { type Service, service } from "../service.ts";
import { recordingLogger, tested, watched } from "../testing.fixture.ts";

const Text = z.object({ text: z.string() });
const done = (): void => undefined;

/** The faults that connecting these services reports, and nothing else may be wrong. */
async function faultsOf(
  services: readonly Service[],
  options: Partial<ConnectOptions<readonly Service[]>> = {},
): Promise<readonly string[]> {
  const transport = watched(memory());
  try {
    await connect({ transport, services, logger: recordingLogger(), ...options });
  } catch (error) {
    assert.ok(error instanceof WaybillError, String(error));
    assert.equal(error.code, "WIRING_INVALID", error.message);
    assert.equal(transport.opened.length, 0, "faults are found before anything is opened");
    return error.details["faults"] as readonly string[];
  }
  assert.fail("it connected");
}

async function oneFault(
  services: readonly Service[],
  ...patterns: readonly RegExp[]
): Promise<void> {
  const faults = await faultsOf(services);
  assert.equal(faults.length, 1, faults.join("\n"));
  for (const pattern of patterns) assert.match(faults[0] ?? "", pattern);
}

const here = /wiring\.test\.ts:\d+:\d+/;
const hereTwice = /wiring\.test\.ts:\d+:\d+.*wiring\.test\.ts:\d+:\d+/;

for (const name of [
  "",
  "Orders.place",
  "orders..place",
  ".orders",
  "orders.",
  "orders place",
  "orders/place",
  "1orders",
  "orders.Plätze",
  "orders\r\nx",
  "__proto__",
]) {
  test(`a contract called ${JSON.stringify(name)} is refused with its place`, async () => {
    await oneFault(
      [service("orders").handle(command(name, { input: Text }), done)],
      /is not legal/,
      here,
      /use lower-case words/,
    );
  });
}

test("a contract's name has at most 120 characters", async () => {
  await using _ = await tested([
    service("orders").handle(command("a".repeat(120), { input: Text }), done),
  ]);
  await oneFault(
    [service("orders").handle(command("a".repeat(121), { input: Text }), done)],
    /at most 120 characters, this has 121/,
    here,
  );
});

for (const name of ["waybill.answer", "replies.mine"]) {
  test(`the reserved name ${name} is refused`, async () => {
    await oneFault(
      [service("orders").handle(command(name, { input: Text }), done)],
      /is reserved for Waybill itself/,
      here,
    );
  });
}

test("the names of a shared queue and a shared topic follow the same rules", async () => {
  await oneFault(
    [service("orders").handle(command("orders.place", { input: Text, queue: "Orders" }), done)],
    /The queue "Orders"/,
    here,
  );
  await oneFault(
    [service("orders").on(event("orders.placed", { payload: Text, topic: "replies.x" }), done)],
    /The topic "replies.x"/,
    here,
  );
});

test("a service's name is checked, and two services may not share one", async () => {
  await oneFault([service("Ordering")], /service name "Ordering" is not legal/, here);
  await oneFault([service("a".repeat(51))], /at most 50 characters/);
  await oneFault(
    [service("ordering"), service("ordering")],
    /Two services are called "ordering"/,
    hereTwice,
  );
});

test("two contracts of one name are refused, naming both places", async () => {
  const first = command("orders.place", { input: Text });
  const second = event("orders.place", { payload: Text });
  await oneFault(
    [service("orders").handle(first, done).on(second, done)],
    /Two contracts are called "orders.place"/,
    /a command .* and a event/,
    hereTwice,
  );
});

test("a contract defined twice by loading its module twice says so", async () => {
  const make = (): Command<"orders.place", { text: string }> =>
    command("orders.place", { input: Text });
  await oneFault(
    [service("orders").handle(make(), done), service("shop", { sends: [make()] })],
    /its module is loaded twice/,
  );
});

test("two owners of one command are refused, naming both", async () => {
  const Place = command("orders.place", { input: Text });
  await oneFault(
    [service("orders").handle(Place, done), service("shop").handle(Place, done)],
    /has two owners/,
    /"orders"/,
    /"shop"/,
    hereTwice,
  );
  await oneFault(
    [service("orders").handle(Place, done).handle(Place, done)],
    /has two owners/,
    hereTwice,
  );
});

test("two owners of one query or feed are refused, naming both", async () => {
  const Get = query("orders.get", { input: Text, output: Text });
  const Watch = feed("orders.watch", { input: Text, item: Text });
  const answer = (input: { text: string }): { text: string } => input;
  await oneFault(
    [service("orders").answer(Get, answer), service("shop").answer(Get, answer)],
    /The query "orders.get" has two owners/,
    hereTwice,
  );
  const serve = async function* (): AsyncGenerator<{ text: string }> {
    yield { text: "" };
  };
  await oneFault(
    [service("orders").serve(Watch, serve), service("shop").serve(Watch, serve)],
    /The feed "orders.watch" has two owners/,
    hereTwice,
  );
});

test("a queue that is shared by commands of two services is refused, naming both", async () => {
  const Place = command("orders.place", { input: Text, queue: "orders" });
  const Ship = command("orders.ship", { input: Text, queue: "orders" });
  await oneFault(
    [service("ordering").handle(Place, done), service("shipping").handle(Ship, done)],
    /queue "orders"/,
    /"ordering"/,
    /"shipping"/,
    hereTwice,
  );
  await using _ = await tested([service("ordering").handle(Place, done).handle(Ship, done)]);
});

test("a command may not stand in the queue of a query", async () => {
  const Get = query("orders.get", { input: Text, output: Text });
  const Place = command("orders.place", { input: Text, queue: "orders.get" });
  await oneFault(
    [
      service("orders")
        .answer(Get, (input) => input)
        .handle(Place, done),
    ],
    /names the queue "orders.get", which is that of the query/,
    hereTwice,
  );
});

test("every missing upcaster is named", async () => {
  const Place = command("orders.place", {
    input: Text,
    version: 4,
    upcasters: { 2: (older) => older },
  });
  const faults = await faultsOf([service("orders").handle(Place, done)]);
  assert.equal(faults.length, 2);
  assert.match(faults[0] ?? "", /no upcaster from 1/);
  assert.match(faults[1] ?? "", /no upcaster from 3/);
});

for (const version of [0, -1, 1.5, Number.NaN, "2" as unknown as number]) {
  test(`version ${String(version)} is refused`, async () => {
    await oneFault(
      [service("orders").handle(command("orders.place", { input: Text, version }), done)],
      /give a whole number from 1/,
      here,
    );
  });
}

for (const partitions of [0, 257, 2.5, Number.NaN]) {
  test(`${partitions} partitions are refused`, async () => {
    const Views = stream("shop.views", { item: Text, key: ({ text }) => text, partitions });
    await oneFault(
      [service("shop", { appends: [Views] })],
      /partitions; give a whole number from 1 to 256/,
      here,
    );
  });
}

test("a retention that keeps nothing is refused", async () => {
  const Views = stream("shop.views", {
    item: Text,
    key: ({ text }) => text,
    retention: { ageMs: 0 },
  });
  await oneFault([service("shop", { appends: [Views] })], /retention.ageMs/, here);
});

test("JavaScript that uses or binds the wrong kind is told which", async () => {
  const Placed = event("orders.placed", { payload: Text });
  await oneFault(
    [service("shop", { sends: [Placed] } as never)],
    /sends the event "orders.placed", which is no command/,
  );
  await oneFault(
    [(service("shop") as any).handle(Placed, done)],
    /handle\(\) takes a command; the event "orders.placed" is none/,
    here,
  );
  await oneFault(
    [(service("shop") as any).on(function NotOne() {}, done)],
    /something that is not a contract/,
  );
});

test("an undefined contract, handler, schema or service of a circular import is named as such", async () => {
  const missing = undefined as never;
  const Placed = event("orders.placed", { payload: Text });
  await oneFault(
    [service("shop", { asks: [missing] })],
    /something that is not a contract \(a circular import makes it undefined\)/,
  );
  await oneFault([service("shop").on(missing, done)], /something that is not a contract/, here);
  await oneFault(
    [service("shop").on(Placed, missing)],
    /on\(\) of the event "orders.placed" has no handler function/,
    here,
  );
  await oneFault(
    [service("shop").handle(command("orders.place", { input: missing }), done)],
    /input of command "orders.place".* is no Standard Schema/,
    here,
  );
  await oneFault([missing], /services\[0\] is no service/);
});

test("only on() is for every instance, and that is yes or no", async () => {
  const Place = command("orders.place", { input: Text });
  const Placed = event("orders.placed", { payload: Text });
  const each = { everyInstance: true } as never;
  await oneFault([service("orders").handle(Place, done, each)], /everyInstance of handle\(/, here);
  const text = { everyInstance: "yes" } as never;
  await oneFault(
    [service("orders").on(Placed, done, text)],
    /everyInstance of on\(.* is "?yes/,
    here,
  );
});

test("a resume that cannot work is a fault", async () => {
  const resume = { cursor: z.string(), of: ({ text }: { text: string }) => text };
  const watching = (options: object) =>
    [
      service("shop", {
        opens: [feed("orders.watch", { input: Text, item: Text, ...options } as never)],
      }),
    ] as const;
  await oneFault(
    watching({ upstream: Text, resume }),
    /feed "orders.watch".* has both upstream and resume; nobody could say/,
    here,
  );
  await oneFault(
    watching({ resume: { ...resume, of: "id" } }),
    /resume.of of feed .* is no function/,
  );
  await oneFault(
    watching({ resume: { of: resume.of } }),
    /resume.cursor of feed "orders.watch".* is no Standard Schema/,
  );
});

test("uses that are no list, or no verb, are faults", async () => {
  const Placed = event("orders.placed", { payload: Text });
  await oneFault([service("shop", { publishes: Placed } as never)], /write publishes: \[\.\.\.\]/);
  await oneFault(
    [service("shop", { publish: [Placed] } as never)],
    /uses "publish", which is no verb; there are asks, sends, publishes, opens, appends/,
  );
});

test("options out of their bounds are named with the bounds", async () => {
  const Place = command("orders.place", { input: Text });
  for (const [options, pattern] of [
    [{ concurrency: 0 }, /concurrency .* is 0; give a whole number from 1 to 1000/],
    [{ concurrency: 1.5 }, /concurrency/],
    [{ prefetch: 10_001 }, /prefetch .* from 1 to 10000/],
    [{ lockMs: 999 }, /lockMs .* from 1000 to 300000/],
    [{ retry: { attempts: 0 } }, /retry.attempts is 0; give a number from 1 to 1000/],
    [{ retry: { immediate: 11 } }, /retry.immediate/],
    [{ retry: { jitter: Number.NaN } }, /retry.jitter/],
  ] as const) {
    await oneFault([service("orders").handle(Place, done, options)], pattern, here);
  }
});

test("options of the bus are checked with everything else", async () => {
  const faults = await faultsOf([service("Orders")], {
    handlers: { retry: { factor: 0 } },
    callDepth: { max: 0, policy: "refuze" as never },
  });
  assert.equal(faults.length, 4, faults.join("\n"));
  assert.match(
    faults.join("\n"),
    /service name "Orders".*\n.*retry\.factor.*\n.*callDepth\.max.*\n.*callDepth\.policy/,
  );
});

test("a rule that cannot be read is named with the path of its fault", async () => {
  const Placed = event("orders.placed", { payload: Text, attributes: ({ text }) => ({ text }) });
  const wrong = (where: unknown): Service =>
    service("shop").on(Placed, done, { where: where as never });
  await oneFault([wrong({ text: { like: "x" } })], /where\.text\.like: unknown operator/, here);
  await oneFault([wrong({ or: { text: "x" } })], /where\.or: takes a list/);
  await oneFault([wrong("text = x")], /a rule is an object/);
});

test("two subscriptions or groups of one name are refused, naming both places", async () => {
  const Placed = event("orders.placed", { payload: Text });
  const Views = stream("shop.views", { item: Text, key: ({ text }) => text });
  await oneFault(
    [service("shop").on(Placed, done).on(Placed, done)],
    /binds "orders.placed" twice/,
    /\{ name \}/,
    hereTwice,
  );
  await oneFault(
    [service("shop").consume(Views, done).consume(Views, done)],
    /binds "shop.views" twice/,
    /\{ group \}/,
    hereTwice,
  );
  await oneFault(
    [
      service("shop").consume(Views, done, { group: "all" }),
      service("stock").consume(Views, done, { group: "all" }),
    ],
    /"shop".*"stock".* would get a part only/,
    hereTwice,
  );
  await oneFault([service("shop").on(Placed, done, { name: "Not Legal" })], /The name "Not Legal"/);
  await using _ = await tested([
    service("shop")
      .on(Placed, done)
      .on(Placed, done, { name: "second" })
      .consume(Views, done)
      .consume(Views, done, { group: "second" }),
  ]);
});

test("all faults of all services come in one error", async () => {
  const Place = command("Place", { input: Text });
  const Get = query("orders.get", { input: Text, output: Text, version: 2 });
  const Placed = event("orders.placed", { payload: Text });
  const faults = await faultsOf([
    service("Orders", { sends: [Placed] } as never).handle(Place, done, { concurrency: 0 }),
    service("shop", { asks: [Get] })
      .handle(Place, done)
      .on(Placed, done, { where: { and: 1 } as never })
      .on(Placed, done),
    undefined as never,
  ]);
  for (const pattern of [
    /no service/,
    /sends the event/,
    /service name "Orders"/,
    /"Place".*is not legal/,
    /no upcaster from 1/,
    /concurrency/,
    /where\.and/,
    /two owners/,
    /twice under one name/,
  ]) {
    assert.equal(
      faults.filter((fault) => pattern.test(fault)).length,
      1,
      `${pattern} in\n${faults.join("\n")}`,
    );
  }
  assert.equal(faults.length, 9, faults.join("\n"));
});

test("the message of the error lists every fault", async () => {
  await assert.rejects(
    connect({ transport: memory(), services: [service("A"), service("B")] }),
    /do not fit together:\n {2}- .*"A".*\n {2}- .*"B"/,
  );
});

test("the place of a service is found in a path with spaces and parentheses", async () => {
  const { mkdtemp, writeFile, rm } = await import("node:fs/promises");
  const { pathToFileURL } = await import("node:url");
  const { join } = await import("node:path");
  const { tmpdir } = await import("node:os");
  const directory = await mkdtemp(join(tmpdir(), "way bill (1) "));
  try {
    const file = join(directory, "orders.mts");
    const from = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
    await writeFile(
      file,
      `import { service } from ${from("../service.ts")};\nexport const ordering = service("ordering");\n`,
    );
    const { ordering } = (await import(pathToFileURL(file).href)) as { ordering: Service };
    assert.match(ordering.place, /orders\.mts:2:\d+$/);
  } finally {
    await rm(directory, { recursive: true });
  }
});

// What fails after the transport was opened.

const Place = command("orders.place", { input: Text });

test("a transport that refuses the topology is closed again", async () => {
  const transport = watched(memory(), () => ({
    declare: () => Promise.reject(new WaybillError("TRANSPORT_FAILED", "no")),
  }));
  await assert.rejects(
    connect({
      transport,
      services: [service("orders").handle(Place, done)],
      logger: recordingLogger(),
    }),
    { code: "TRANSPORT_FAILED" },
  );
  assert.deepEqual([transport.opened.length, transport.disposed], [1, 1]);
});

test("a step whose wrap throws leaves nothing declared, nothing received and the transport closed", async () => {
  const calls: string[] = [];
  const transport = watched(memory(), (inner) => ({
    declare: (topology) => (calls.push("declare"), inner.declare(topology)),
    receive: (...parameters) => (calls.push("receive"), inner.receive(...parameters)),
  }));
  const Get = query("orders.get", { input: Text, output: Text });
  const step = {
    name: "mine",
    wrap: (next: never, { contract }: { contract: { kind: string } }): never => {
      if (contract.kind === "command") throw new Error("cannot wrap");
      return next;
    },
  };
  const services = [
    service("orders")
      .answer(Get, (input) => input)
      .handle(Place, done),
  ];
  const steps = [{ direction: "incoming", after: "decode", step: step as never }] as const;
  await assert.rejects(
    connect({ transport, services, steps, logger: recordingLogger() }),
    /cannot wrap/,
  );
  assert.deepEqual(calls, []);
  assert.equal(transport.disposed, 1);
});

test("a receiver that cannot be opened half-way leaves nothing open, and the first error is the one that is thrown", async () => {
  const broker = memory();
  let receivers = 0;
  const transport = watched(broker, (inner) => ({
    receive: (source, options, listener) => {
      if (++receivers === 2) throw new WaybillError("TRANSPORT_FAILED", "the second receiver");
      return inner.receive(source, options, listener);
    },
    [Symbol.asyncDispose]: async () => {
      await inner[Symbol.asyncDispose]();
      throw new Error("and closing fails, too");
    },
  }));
  const Ship = command("orders.ship", { input: Text });
  const ordering = service("orders").handle(Place, done).handle(Ship, done);
  const logger = recordingLogger();
  await assert.rejects(connect({ transport, services: [ordering], logger }), /the second receiver/);
  assert.ok(logger.has("error", /did not close well: and closing fails/));
  await using again = await tested([service("other").handle(Place, done)], { transport: broker });
  const { addresses } = await again.bus.health();
  assert.equal(
    addresses.find(({ address }) => address === "orders.place")?.receivers,
    1,
    "only the new bus receives",
  );
});

test("two buses with different services for one command are refused, naming both", async () => {
  const broker = memory();
  await using _ = await tested([service("ordering").handle(Place, done)], { transport: broker });
  const transport = watched(broker);
  await assert.rejects(
    connect({
      transport,
      services: [service("shop").handle(Place, done)],
      logger: recordingLogger(),
    }),
    (error: WaybillError) => {
      assert.equal(error.code, "OWNED_TWICE");
      assert.match(error.message, /"ordering".*wiring\.test\.ts.*"shop".*wiring\.test\.ts/);
      return true;
    },
  );
  assert.equal(transport.disposed, 1);
});
