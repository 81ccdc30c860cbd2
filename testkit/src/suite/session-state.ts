import assert from "node:assert/strict";
import { stallingEnvironment } from "../stall.ts";
import { type SuiteCase, needsSessionState } from "./case.ts";
import { complete } from "./probe.ts";
import { keyed, sessionQueue } from "./session-stage.ts";

/** What a session keeps for its next holder. */
export const sessionStateCases: readonly SuiteCase[] = [
  {
    id: "session.state",
    title:
      "a session's state is what its holder wrote last, also for the next holder, until it is removed",
    notFor: needsSessionState,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      await transport.send(keyed(queue, "a1", "b1"));
      const first = stage.receive(transport, source);
      const [a1, b1] = await first.take(2);
      assert.equal(await a1?.session?.read(), undefined);
      assert.equal(await a1?.session?.write('{"step":1}'), "settled");
      assert.equal(await a1?.session?.read(), '{"step":1}');
      assert.equal(await b1?.session?.read(), undefined);
      await first.receiver.stop();
      await a1?.settle(complete);
      await transport.send(keyed(queue, "a2"));
      const second = stage.receive(await stage.open(), source);
      const a2 = await second.next();
      assert.equal(await a2.session?.read(), '{"step":1}');
      await a2.session?.write(new Uint8Array([0, 255]));
      assert.deepEqual(await a2.session?.read(), new Uint8Array([0, 255]));
      await a2.session?.write(undefined);
      assert.equal(await a2.session?.read(), undefined);
    },
  },
  {
    id: "session.state-fenced",
    title: "who lost the lock of a session can neither read nor write its state",
    notFor: needsSessionState,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const frozen = stallingEnvironment(stage.environment);
      const stalled = await stage.open({ environment: frozen });
      await transport.send(keyed(queue, "a1"));
      const late = stage.receive(stalled, source, { lockMs: 300 });
      const lost = await late.next();
      await lost.session?.write("old");
      await late.receiver.stop();
      frozen.stall();
      const held = await stage.receive(transport, source).next();
      assert.equal(await held.session?.read(), "old");
      await held.session?.write("new");
      frozen.wake();
      assert.equal(await lost.session?.write("late"), "lockLost");
      await assert.rejects(async () => lost.session?.read(), { code: "LOCK_LOST" });
      assert.equal(await held.session?.read(), "new");
      await held.settle(complete);
      assert.equal(await held.session?.write("settled already"), "lockLost");
    },
  },
  {
    id: "session.state-bounded",
    title: "a state larger than the transport keeps is refused, and what was kept stays",
    notFor: needsSessionState,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      await transport.send(keyed(queue, "a1"));
      const { session } = await stage.receive(transport, source).next();
      const { sessionStateBytesMax } = transport.capabilities;
      assert.equal(await session?.write("ü".repeat(sessionStateBytesMax / 2)), "settled");
      await assert.rejects(async () => session?.write("x".repeat(sessionStateBytesMax + 1)), {
        code: "BODY_TOO_LARGE",
      });
      assert.equal(await session?.read(), "ü".repeat(sessionStateBytesMax / 2));
    },
  },
];
