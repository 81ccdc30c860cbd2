import assert from "node:assert/strict";
import { assertBooked, entryOf } from "./accounts.ts";
import { type SuiteCase, needsLedger, needsSessions, needsStreams } from "./case.ts";
import { envelope, failure } from "./messages.ts";
import { complete, release } from "./probe.ts";
import { keyed, retryFailure, sessionQueue } from "./session-stage.ts";
import { items, withStream } from "./streams.ts";

const dead = { kind: "deadLetter", failure: failure(1) } as const;

/** The same in sessions and streams. */
export const ledgerKeyCases: readonly SuiteCase[] = [
  {
    id: "ledger.sessions",
    title: "retries, releases and parking in sessions move no message out of the account",
    notFor: (capabilities) => needsLedger(capabilities) ?? needsSessions(capabilities),
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const booked = (equation: string) => assertBooked(transport, queue, equation);
      await transport.send(keyed(queue, "a1", "a2", "b1", "b2", "c1"));
      const probe = stage.receive(transport, source, { sessions: 3 });
      const [a1, , b1, , c1] = (await probe.take(5)).toSorted((left, right) =>
        String(left.envelope.body).localeCompare(String(right.envelope.body)),
      );
      await probe.receiver.stop();
      await booked("5 = inFlight 5");
      await a1?.settle({ ...dead, park: true });
      await booked("5 = dead 1 + ready 1 + inFlight 3");
      await b1?.settle({ kind: "retry", delayMs: 60_000, failure: retryFailure });
      await booked("5 = dead 1 + ready 3 + inFlight 1");
      await c1?.settle(release);
      await booked("5 = dead 1 + ready 4");
      const query = { state: "dead", address: queue } as const;
      const [parked] = await stage.listed(transport.inspection, query, 1);
      const edited = envelope("a3", { partitionkey: "a" });
      await transport.inspection.replace(parked?.handle ?? "", edited);
      await booked("6 = replaced 1 + ready 5");
      await transport.inspection.purge(queue, "ready");
      await booked("6 = purged 5 + replaced 1");
    },
  },
  {
    id: "ledger.streams",
    title:
      "a log accounts for what was appended, and a group for what came since it began: done, dead or before it",
    notFor: (capabilities) => needsLedger(capabilities) ?? needsStreams(capabilities),
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 2);
      const address = `${stream}@readers`;
      await transport.send(items(stream, 6, ["a", "b"]));
      const log = await entryOf(transport, stream);
      assert.deepEqual([log.kind, log.accepted, log.retained, log.balanced], ["log", 6, 6, true]);
      const probe = stage.receive(transport, group(), { prefetch: 3 });
      const [first, second, third] = await probe.take(3);
      const late = stage.receive(transport, group("late"), { start: "latest" });
      await stage.until("the late group has begun", async () =>
        (await transport.inspection.ledger()).some((each) => each.address === `${stream}@late`),
      );
      await probe.receiver.stop();
      await first?.settle(complete);
      await second?.settle(dead);
      await third?.settle(release);
      const { accepted, copied, dead: buried } = await entryOf(transport, address);
      assert.deepEqual([accepted, copied, buried], [7, 1, 1]);
      await assertBooked(transport, `${stream}@late`, "0 = nothing");
      const [letter] = await stage.listed(transport.inspection, { state: "dead", address }, 1);
      const edited = envelope("edited", { partitionkey: "a" });
      await transport.inspection.replace(letter?.handle ?? "", edited);
      assert.equal((await entryOf(transport, address)).left.replaced, 1);
      const rest = stage.receive(transport, group());
      for (const delivery of await rest.take(5)) await delivery.settle(complete);
      await assertBooked(transport, address, "8 = completed 7 + replaced 1");
      await transport.send(items(stream, 2, ["a"]));
      await late.take(2);
      await assertBooked(transport, `${stream}@late`, "2 = inFlight 2");
      assert.equal((await entryOf(transport, stream)).accepted, 8);
    },
  },
];
