import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event } from "@waybill/contracts";
import { type StoreFactory, decider, happened, reject } from "@waybill/core";
import { playDecider } from "./play-decider.ts";

function schema<Value>(isSo: (value: any) => boolean = () => true): Schema<Value> {
  return {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value) =>
        isSo(value) ? { value: value as Value } : { issues: [{ message: "does not fit" }] },
    },
  };
}

interface Movement {
  readonly account: string;
  readonly cents: number;
}

const movement = schema<Movement>(({ cents }) => typeof cents === "number");
const Deposit = command("bank.deposit", { input: movement });
const Withdraw = command("bank.withdraw", { input: movement });
const Deposited = event("bank.deposited", {
  payload: movement,
  version: 2,
  upcasters: { 1: (older: any) => ({ account: older.account, cents: older.euros * 100 }) },
});
const Withdrawn = event("bank.withdrawn", { payload: movement });
const Emptied = event("bank.emptied", { payload: schema<{ readonly at: string }>() });

interface Account {
  readonly cents: number;
  readonly emptied: number;
}

const bank = (more: object = {}) =>
  decider("bank", {
    store: {} as StoreFactory,
    state: schema<Account>(({ cents }) => Number.isFinite(cents)),
    initial: () => ({ cents: 0, emptied: 0 }),
    commands: [Deposit, Withdraw],
    events: [Deposited, Withdrawn, Emptied],
    key: ({ account }) => account,
    decide: {
      [Deposit.name]: (input) => (input.cents === 0 ? [] : happened(Deposited, input)),
      [Withdraw.name]: (input, state, { now }) => {
        if (state.cents < input.cents) return reject("There is not enough money.", { ...state });
        const withdrawn = happened(Withdrawn, input);
        return state.cents === input.cents
          ? [withdrawn, happened(Emptied, { at: now.toISOString() })]
          : withdrawn;
      },
    },
    evolve: {
      [Deposited.name]: (state, { cents }) => ({ ...state, cents: state.cents + cents }),
      [Withdrawn.name]: (state, { cents }) => ({ ...state, cents: state.cents - cents }),
      [Emptied.name]: (state) => ({ ...state, emptied: state.emptied + 1 }),
    },
    ...more,
  });

const account = "a";

test("given what has happened, when a command comes, then that happens", async () => {
  const play = playDecider(bank()).given(Deposited, { account, cents: 500 });
  const some = await play.when(Withdraw, { account, cents: 200 });
  assert.deepEqual(some.events, [happened(Withdrawn, { account, cents: 200 })]);
  assert.deepEqual([some.state, some.version, some.key], [{ cents: 300, emptied: 0 }, 2, "a"]);
  const all = await play.after(60_000).when(Withdraw, { account, cents: 500 });
  assert.deepEqual(all.events, [
    happened(Withdrawn, { account, cents: 500 }),
    happened(Emptied, { at: "2030-01-01T00:01:00.000Z" }),
  ]);
  const nothing = await play.when(Deposit, { account, cents: 0 });
  assert.deepEqual([nothing.events, nothing.rejection, nothing.version], [[], undefined, 1]);
});

test("a rejected command makes nothing happen and says why", async () => {
  const play = playDecider(bank()).given(Deposited, { account, cents: 5 });
  const { events, rejection, version } = await play.when(Withdraw, { account, cents: 8 });
  assert.deepEqual([events, version], [[], 1]);
  assert.deepEqual(rejection, reject("There is not enough money.", { cents: 5, emptied: 0 }));
});

test("what an older version wrote is brought up, and what does not fit is refused", async () => {
  const older = playDecider(bank()).givenVersion(Deposited, 1, { account, euros: 3 });
  assert.equal((await older.when(Deposit, { account, cents: 1 })).state.cents, 301);
  const newer = playDecider(bank()).givenVersion(Deposited, 3, { account, cents: 3 });
  await assert.rejects(newer.when(Deposit, { account, cents: 1 }), { code: "STATE_INVALID" });
  const wrong = playDecider(bank()).given(Withdrawn, { account, cents: "3" } as any);
  await assert.rejects(wrong.when(Deposit, { account, cents: 1 }), { code: "STATE_INVALID" });
  await assert.rejects(playDecider(bank()).when(Deposit, { account, cents: "1" } as any), {
    code: "MESSAGE_INVALID",
  });
});

test("a decider that is not pure, or answers what it must not, is found out", async () => {
  const ask = (more: object): Promise<unknown> =>
    playDecider(bank(more))
      .given(Deposited, { account, cents: 5 })
      .when(Deposit, { account, cents: 1 });
  const sound = bank().decider;
  const decide = (answer: (...given: any[]) => unknown): object => ({
    decide: { ...sound.decide, [Deposit.name]: answer },
  });
  const evolve = (answer: (...given: any[]) => unknown): object => ({
    evolve: { ...sound.evolve, [Deposited.name]: answer },
  });
  await assert.rejects(
    ask(
      decide((_input, state) => {
        state.cents = 0;
        return [];
      }),
    ),
    TypeError,
  );
  await assert.rejects(ask(decide(async () => [])), /none of its events/);
  await assert.rejects(ask(decide(() => undefined)), /none of its events/);
  await assert.rejects(
    ask(decide(() => happened(event("x", { payload: movement }), { account, cents: 1 }))),
    /none of its events/,
  );
  await assert.rejects(ask(decide(() => happened(Deposited, { account, cents: 1n } as any))), {
    code: "MESSAGE_INVALID",
  });
  await assert.rejects(ask(decide(() => happened(Deposited, { account } as any))), {
    code: "MESSAGE_INVALID",
  });
  await assert.rejects(ask(evolve(() => undefined)), { code: "STATE_INVALID" });
  await assert.rejects(ask(evolve(async (state) => state)), { code: "STATE_INVALID" });
  await assert.rejects(ask(evolve(() => ({ cents: Number.NaN }))), { code: "MESSAGE_INVALID" });
});

test("what does not fit together is refused with all its faults", () => {
  const faults = (more: object): readonly string[] => {
    try {
      playDecider(bank(more));
    } catch (error) {
      return (error as { details: { faults: readonly string[] } }).details.faults;
    }
    return [];
  };
  assert.deepEqual(faults({}), []);
  const wrong: readonly (readonly [object, RegExp])[] = [
    [{ store: undefined }, /has no store/],
    [{ state: {} }, /no Standard Schema/],
    [{ initial: { cents: 0 } }, /initial state .* is no function/],
    [{ commands: [] }, /The commands .* are no list/],
    [{ commands: [Deposit, Deposit] }, /declared twice/],
    [{ events: [Deposited, Withdraw] }, /have the command "bank.withdraw"/],
    [{ events: [undefined] }, /circular import/],
    [{ events: [Deposited, Withdrawn] }, /has "bank.emptied", which is none of its events/],
    [{ decide: { [Deposit.name]: () => [] } }, /has no function for "bank.withdraw"/],
    [{ evolve: {} }, /`evolve` .* has no function for "bank.deposited"/],
    [{ key: undefined }, /for which key the command "bank.deposit"/],
    [{ key: "account" }, /key .* is no function/],
    [{ publishes: [event("y", { payload: movement })] }, /none of its events/],
    [{ rejected: "retry" }, /The rule rejected/],
    [{ snapshotEvery: -1 }, /snapshotEvery/],
    [{ stateVersion: 0 }, /stateVersion/],
    [{ eventsMax: 10 }, /eventsMax/],
  ];
  for (const [more, fault] of wrong)
    assert.ok(
      faults(more).some((text) => fault.test(text)),
      `${String(fault)}: ${faults(more).join("\n")}`,
    );
});
