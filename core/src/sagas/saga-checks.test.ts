import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event } from "@waybill/contracts";
import { connect } from "../connect.ts";
import { WaybillError } from "../errors.ts";
import { memory } from "../memory/index.ts";
import type { StoreFactory } from "../ports/store.ts";
import type { Service } from "../service.ts";
import { type Saga, saga } from "./saga.ts";

const any: Schema<any> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) },
};
const store: StoreFactory = {
  name: "none",
  migrations: [],
  alarmAfterMs: { degraded: 1, failed: 2 },
  takeOverAfterMs: 10_000,
  open: () => Promise.reject(new Error("Faults come before anything is opened.")),
};
const Began = event("x.began", { payload: any });
const Went = event("x.went", { payload: any });
const Go = command("x.go", { input: any });
const by = ({ id }: { id: string }): string => id;
const state = (): number => 1;
const stay = (): any => "open";

/** Options and binders as JavaScript may give them. */
const given = (options: object = {}): any =>
  saga("small", { store, state: any, phases: ["open", "shut"], ...options } as any);
const sound = (options: object = {}): any =>
  given(options)
    .startedBy(Began, { by, state, to: ["open"] }, stay)
    .on(Went, { by, in: ["open"], to: ["shut"] }, stay);

async function faultsOf(service: Service): Promise<readonly string[]> {
  try {
    await connect({ transport: memory(), services: [service] });
  } catch (error) {
    assert.ok(error instanceof WaybillError, String(error));
    assert.equal(error.code, "WIRING_INVALID", error.message);
    return error.details["faults"] as readonly string[];
  }
  throw new Error("it was taken");
}

async function refused(service: Service, ...wanted: readonly RegExp[]): Promise<void> {
  const faults = await faultsOf(service);
  for (const pattern of wanted)
    assert.ok(
      faults.some((fault) => pattern.test(fault)),
      `${String(pattern)} in ${faults.join("\n")}`,
    );
  assert.equal(faults.length, wanted.length, faults.join("\n"));
}

const here = /saga-checks\.test\.ts:\d+/.source;

test("a saga that fits is refused by nothing but its store, which is opened last", async () => {
  await assert.rejects(connect({ transport: memory(), services: [sound() as Saga] }), {
    message: /Faults come before/,
  });
});

test("phases that nothing reaches, names and rules that do not exist are faults with their place", async () => {
  await refused(
    sound({ phases: ["open", "shut", "lost"] }),
    new RegExp(`saga "small" at .*${here}.* leads to the phase "lost"`),
  );
  await refused(
    sound({ phases: ["open", "shut", "open", "No Name"] }),
    /phase "open" .* declared twice/,
    /phase "No Name" .* is not legal/,
    /leads to the phase "No Name"/,
  );
  await refused(
    sound({ unknown: "forget", archiveMs: 5, state: 7 }),
    /The rule unknown .* is "forget"/,
    /archiveMs .* is 5/,
    /state .* is no Standard Schema/,
  );
  await refused(sound({ store: undefined }), /has no store/);
  await refused(given({ phases: [] }), /phases .* are no list/);
});

test("a transition that names what is not declared, or is not whole, is a fault with its place", async () => {
  await refused(
    sound().on(Go, { by, in: ["elsewhere"], to: ["nowhere"] }, stay),
    new RegExp(`on\\(\\) of the command "x.go" .* at .*${here}.* phase "elsewhere" in \`in\``),
    /phase "nowhere" in `to`/,
  );
  await refused(
    sound().on(Go, { in: ["open"], to: [] }, undefined),
    /no phases in `to`/,
    /has no `by`/,
    /has no handler function/,
  );
  await refused(
    given()
      .startedBy(Began, { by, to: ["open"] }, stay)
      .on(Went, { by, in: ["open"], to: ["shut"] }, stay),
    /startedBy\(\) .* has no `state`/,
  );
  await refused(
    given().on(Went, { by, in: ["open"], to: ["open", "shut"] }, stay),
    /Nothing starts/,
    /leads to the phase "open"/,
    /leads to the phase "shut"/,
  );
  await refused(
    sound().on(undefined, { by, in: ["open"], to: ["shut"] }, stay),
    /something that is not a contract/,
  );
});

test("two transitions for one message in one phase are a fault with both places", async () => {
  const twice = new RegExp(
    `moves on in the phase "open" by on\\(\\) of the event "x.went" in two ways: one at .*${here}.*, one at .*${here}`,
  );
  await refused(sound().on(Went, { by, in: ["open"], to: ["open"] }, stay), twice);
  await refused(
    sound().startedBy(Began, { by, state, to: ["open"] }, stay),
    /starts by startedBy\(\) of the event "x.began" in two ways/,
  );
  await refused(
    sound({ timeouts: ["soon"] })
      .onTimeout("soon", { in: ["open"], to: ["shut"] }, stay)
      .onTimeout("soon", { in: ["open"], to: ["open"] }, stay),
    /by onTimeout\("soon"\) in two ways/,
  );
});

test("a timeout that nothing handles, and one that is not declared, are faults", async () => {
  await refused(sound({ timeouts: ["soon"] }), /handles its timeout "soon"/);
  await refused(
    sound().onTimeout("soon", { in: ["open"], to: ["shut"] }, stay),
    /names a timeout that the saga does not declare/,
  );
});
