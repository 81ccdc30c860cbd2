/** What must compile and what must not. The compiler is the test, as in `wiring/types.test.ts`. */
import { test } from "node:test";
import { command, event } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "../connect.ts";
import { memory } from "../memory/index.ts";
import type { StoreFactory } from "../ports/store.ts";
import { decider } from "./decider.ts";
import { happened, reject } from "./definition.ts";

const store = {} as StoreFactory;
const Movement = z.object({ account: z.string(), cents: z.number() });
const Deposit = command("bank.deposit", { input: Movement });
const Close = command("bank.close", { input: z.object({ account: z.string() }) });
const Deposited = event("bank.deposited", { payload: Movement });
const Closed = event("bank.closed", { payload: z.object({ account: z.string() }) });
const Other = event("other", { payload: Movement });

const options = {
  store,
  state: z.object({ cents: z.number() }),
  initial: () => ({ cents: 0 }),
  commands: [Deposit, Close],
  events: [Deposited, Closed],
  key: ({ account }: { account: string }) => account,
} as const;
const evolve = {
  "bank.deposited": (state: { cents: number }) => state,
  "bank.closed": (state: { cents: number }) => state,
};
const decide = { "bank.deposit": () => [], "bank.close": () => [] };

function declarations(): void {
  decider("bank", {
    ...options,
    decide: {
      [Deposit.name]: (input, state, { now, version }) => {
        void [now, version];
        return state.cents > 100 ? reject("Enough.") : [happened(Deposited, input)];
      },
      [Close.name]: ({ account }) => happened(Closed, { account }),
    },
    evolve: {
      [Deposited.name]: (state, { cents }) => ({ cents: state.cents + cents }),
      [Closed.name]: () => ({ cents: 0 }),
    },
  });
  // @ts-expect-error a command without decide
  decider("bank", { ...options, evolve, decide: { [Deposit.name]: () => [] } });
  // @ts-expect-error an event without evolve
  decider("bank", { ...options, decide, evolve: { "bank.closed": evolve["bank.closed"] } });
  // @ts-expect-error something that is no command of it
  decider("bank", { ...options, evolve, decide: { ...decide, "bank.other": () => [] } });
  // @ts-expect-error an event that is none of its own
  decider("bank", { ...options, evolve, publishes: [Other], decide });
  const other = (): unknown => happened(Other, { account: "a", cents: 1 });
  // @ts-expect-error it makes something happen that is none of its events
  decider("bank", { ...options, evolve, decide: { ...decide, "bank.close": other } });
  const later = async (): Promise<never[]> => [];
  // @ts-expect-error it waits
  decider("bank", { ...options, evolve, decide: { ...decide, "bank.close": later } });
  // @ts-expect-error another state
  decider("bank", { ...options, decide, evolve: { ...evolve, "bank.closed": () => ({}) } });
  // @ts-expect-error the payload of another event
  happened(Deposited, { account: "a" });
}

async function buses(): Promise<void> {
  const bank = decider("bank", { ...options, decide, evolve });
  const bus = await connect({ transport: memory(), services: [bank] });
  await bus.send(Close, { account: "a" });
  // @ts-expect-error only the decider publishes its events
  await bus.publish(Closed, { account: "a" });
  const look = bus.deciders(bank);
  const cents: number = (await look.load("a")).state.cents;
  await look.decide(Close, { account: "a" });
  // @ts-expect-error the input of another command
  await look.decide(Deposit, { account: "a" });
  for (const { type } of await look.history("a")) {
    const known: "bank.deposited" | "bank.closed" = type;
    void known;
  }
  void cents;
}

test("the types of deciders hold", () => {
  void [declarations, buses];
});
