import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event, query, stream } from "@waybill/contracts";
import { connect } from "../connect.ts";
import { WaybillError } from "../errors.ts";
import { memory } from "../memory/index.ts";
import type { StoreFactory } from "../ports/store.ts";
import { type Service, service } from "../service.ts";

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
const Write = command("reports.write", { input: any });
const Other = command("reports.other", { input: any });
const Night = event("reports.night", { payload: any });
const Log = stream("reports.log", { item: any, key: () => "one" });
const Ask = query("reports.ask", { input: any, output: any });
const input = (): unknown => ({});

const sound = { cron: "0 3 * * *", contract: Write, input };
/** As JavaScript may give it. */
const given = (options: object, name: any = "nightly", uses: object = { store }): Service =>
  (service("reporting", { sends: [Write], publishes: [Night], appends: [Log], ...uses }) as any) //
    .schedule(name, options);

async function refused(asked: Service, ...wanted: readonly RegExp[]): Promise<void> {
  const error: unknown = await connect({ transport: memory(), services: [asked] }).catch(
    (each: unknown) => each,
  );
  assert.ok(error instanceof WaybillError, String(error));
  assert.equal(error.code, "WIRING_INVALID", error.message);
  const faults = error.details["faults"] as readonly string[];
  for (const pattern of wanted)
    assert.ok(
      faults.some((fault) => pattern.test(fault)),
      `${String(pattern)} in ${faults.join("\n")}`,
    );
  assert.equal(faults.length, wanted.length, faults.join("\n"));
}

const here = /schedule-checks\.test\.ts:\d+/.source;
const named = `The schedule "nightly" of service "reporting" at .*${here}.*`;

test("schedules of commands, events and streams that fit are refused by nothing but their store", async () => {
  for (const contract of [Write, Night, Log])
    await assert.rejects(
      connect({ transport: memory(), services: [given({ ...sound, contract })] }),
      { message: /Faults come before/ },
    );
});

test("a schedule without a store, a declared contract, an input or a timing is refused with its place", async () => {
  await refused(given(sound, "nightly", {}), new RegExp(`${named}no store`));
  const contract = (what: unknown): Service => given({ ...sound, contract: what });
  await refused(contract(Other), new RegExp(`${named}"reports.other".*Add it: sends`));
  await refused(contract(Ask), /give a command, an event or a stream/);
  await refused(contract(undefined), /something that is not a contract/);
  await refused(given({ ...sound, input: undefined }), new RegExp(`${named}has no input`));
  await refused(given({ contract: Write, input }), new RegExp(`${named}neither cron nor everyMs`));
  await refused(given({ ...sound, cron: "99 3 * * *" }), new RegExp(`${named}"99" as the minute`));
  await refused(given({ ...sound, timeZone: "Mars" }), new RegExp(`${named}timeZone "Mars"`));
  await refused(given(sound, "Not Legal"), /name that is not legal/);
  await refused(given(undefined as never), /not a contract/, /no input/, /neither cron/);
});

test("rules for what is missed are within their bounds, and names are not shared", async () => {
  await refused(given({ ...sound, missed: "some" }), /missed "some"; give "last", "skip" or "all"/);
  await refused(given({ ...sound, missedMax: 1_001 }), /missedMax 1001/);
  await refused(given({ ...sound, graceMs: 5 }), /graceMs 5/);
  const twice = service("reporting", { sends: [Write], store })
    .schedule("nightly", { cron: "0 3 * * *", contract: Write, input })
    .schedule("nightly", { everyMs: 60_000, contract: Write, input });
  await refused(twice, new RegExp(`two schedules "nightly": one at .*${here}.*, one at .*${here}`));
});
