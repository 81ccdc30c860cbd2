import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Schema, command, event } from "@waybill/contracts";
import { connect, decider, happened, memory, reject, service } from "@waybill/core";
import { sqlite } from "./sqlite.ts";

function schema<Value>(): Schema<Value> {
  return {
    "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as Value }) },
  };
}

const Movement = schema<{ readonly account: string; readonly cents: number }>();
const account = ({ account: key }: { readonly account: string }): string => key;
const Deposit = command("bank.deposit", { input: Movement, key: account, queue: "bank" });
const Withdraw = command("bank.withdraw", { input: Movement, key: account, queue: "bank" });
const topic = "bank.accounts";
const Deposited = event("bank.deposited", { payload: Movement, key: account, topic });
const Withdrawn = event("bank.withdrawn", { payload: Movement, key: account, topic });

function bank(file: string) {
  return decider("bank", {
    store: sqlite({ file }),
    state: schema<{ readonly cents: number }>(),
    initial: () => ({ cents: 0 }),
    commands: [Deposit, Withdraw],
    events: [Deposited, Withdrawn],
    decide: {
      [Deposit.name]: (input) => happened(Deposited, input),
      [Withdraw.name]: (input, state) =>
        state.cents < input.cents
          ? reject("There is not enough money.", { cents: state.cents })
          : happened(Withdrawn, input),
    },
    evolve: {
      [Deposited.name]: (state, { cents }) => ({ cents: state.cents + cents }),
      [Withdrawn.name]: (state, { cents }) => ({ cents: state.cents - cents }),
    },
    snapshotEvery: 5,
  });
}

test("commands are decided on what has happened, and what happens is kept and published", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "waybill-decider-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const accounts = bank(join(directory, "bank.db"));
  const seen: string[] = [];
  const watching = service("watching")
    .on(Deposited, ({ cents }, { header }) => {
      seen.push(`${header.subject} ${header.sequence} +${cents}`);
    })
    .on(Withdrawn, ({ cents }, { header }) => {
      seen.push(`${header.subject} ${header.sequence} -${cents}`);
    });
  await using bus = await connect({ transport: memory(), services: [accounts, watching] });
  const look = bus.deciders(accounts);
  for (let at = 1; at <= 12; at++) await bus.send(Deposit, { account: "a", cents: at });
  await bus.send(Withdraw, { account: "a", cents: 8 });
  await bus.send(Withdraw, { account: "a", cents: 1_000 });
  const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
    while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await until(() => seen.length === 13);
  await until(async () => (await bus.deadLetters.list()).length === 1);
  assert.deepEqual(await look.load("a"), { key: "a", version: 13, state: { cents: 70 } });
  assert.deepEqual(seen, [
    ...Array.from({ length: 12 }, (_, at) => `a ${at + 1} +${at + 1}`),
    "a 13 -8",
  ]);
  const [letter] = await bus.deadLetters.list();
  assert.equal(letter?.failure?.reason, "COMMAND_REJECTED");
  const history = await look.history("a", { fromVersion: 12 });
  assert.deepEqual(
    history.map(({ type, version, payload }) => [type, version, payload]),
    [
      ["bank.deposited", 12, { account: "a", cents: 12 }],
      ["bank.withdrawn", 13, { account: "a", cents: 8 }],
    ],
  );
  const now = await look.decide(Withdraw, { account: "a", cents: 70 }, { expectedVersion: 13 });
  assert.deepEqual([now.version, now.state, now.events.length], [14, { cents: 0 }, 1]);
  await assert.rejects(look.decide(Withdraw, { account: "a", cents: 1 }), {
    code: "COMMAND_REJECTED",
  });
  await assert.rejects(look.decide(Deposit, { account: "a", cents: 1 }, { expectedVersion: 13 }), {
    code: "VERSION_CONFLICT",
  });
  await until(() => seen.at(-1) === "a 14 -70");
  await look.decide(Deposit, { account: "b", cents: 1 });
  assert.equal(await look.forget("a"), 14);
  assert.deepEqual(await look.load("a"), { key: "a", version: 15, state: { cents: 0 } });
  assert.deepEqual(await look.history("a"), []);
  await look.decide(Deposit, { account: "a", cents: 2 });
  const all = await Array.fromAsync(look.replay());
  assert.deepEqual(
    all.map(({ event: each }) => [each.key, each.version]),
    [
      ["b", 1],
      ["a", 16],
    ],
  );
});
