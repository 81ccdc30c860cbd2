import assert from "node:assert/strict";
import { type SuiteCase, needsAtomicSettle, needsSessionState, needsStreams } from "./case.ts";
import { toQueue, toStream } from "./messages.ts";
import { bodyText, complete } from "./probe.ts";
import { keyed, sessionQueue } from "./session-stage.ts";
import { withStream } from "./streams.ts";

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
    id: "session.state-settled",
    title:
      "state that completes with a message is kept in the same step as what is sent: with neither where one is refused, and not by who lost the lock",
    notFor: (capabilities) => needsSessionState(capabilities) ?? needsAtomicSettle(capabilities),
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const out = stage.name("out");
      const results = stage.receive(await stage.declared({ queues: [{ name: out }] }), {
        kind: "queue",
        name: out,
      });
      await transport.send(keyed(queue, "a1", "a2", "a3", "a4"));
      const probe = stage.receive(transport, source, { sessions: 1 });
      const [a1, a2, a3, a4] = await probe.take(4);
      const first = { body: '{"step":1}' };
      const send = [toQueue(out, "done")];
      const lost = [...send, toQueue(stage.name("nowhere"), "lost?")];
      await assert.rejects(async () => a1?.settle({ kind: "complete", send: lost, state: first }), {
        code: "UNROUTABLE",
      });
      const body = "x".repeat(transport.capabilities.sessionStateBytesMax + 1);
      await assert.rejects(async () => a1?.settle({ kind: "complete", send, state: { body } }), {
        code: "BODY_TOO_LARGE",
      });
      assert.equal(await a1?.session?.read(), undefined);
      assert.equal(await a1?.settle({ kind: "complete", send, state: first }), "settled");
      assert.equal(bodyText(await results.next()), "done");
      assert.equal(await a2?.session?.read(), first.body);
      assert.equal(await a1?.settle({ kind: "complete", state: { body: "late" } }), "lockLost");
      assert.equal(await a2?.session?.read(), first.body);
      assert.equal(await a2?.settle(complete), "settled");
      assert.equal(await a3?.session?.read(), first.body);
      assert.equal(await a3?.settle({ kind: "complete", state: { body: undefined } }), "settled");
      assert.equal(await a4?.session?.read(), undefined);
      await results.nothingMore();
    },
  },
  {
    id: "session.state-last",
    title: "state that completes with the last message of a session waits for its next one",
    notFor: (capabilities) => needsSessionState(capabilities) ?? needsAtomicSettle(capabilities),
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const plain = await stage.withQueue("plain");
      const probe = stage.receive(transport, source);
      await transport.send(keyed(queue, "a1"));
      const a1 = await probe.next();
      assert.equal(await a1.settle({ kind: "complete", state: { body: "kept" } }), "settled");
      await transport.send(keyed(queue, "a2", "b1"));
      const [a2, b1] = await probe.take(2);
      assert.deepEqual([await a2?.session?.read(), await b1?.session?.read()], ["kept", undefined]);
      await plain.transport.send([toQueue(plain.queue, "no session")]);
      const without = await stage.receive(plain.transport, plain.source).next();
      await assert.rejects(without.settle({ kind: "complete", state: { body: "kept" } }), {
        code: "NOT_SUPPORTED",
      });
      assert.equal(await without.settle(complete), "settled");
    },
  },
  {
    id: "session.state-stream",
    title: "an item of a stream completes with no state, and can then be settled otherwise",
    notFor: (capabilities) => needsSessionState(capabilities) ?? needsStreams(capabilities),
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 1);
      await transport.send([toStream(stream, "item", "key")]);
      const item = await stage.receive(transport, group()).next();
      await assert.rejects(item.settle({ kind: "complete", state: { body: "kept" } }), {
        code: "NOT_SUPPORTED",
      });
      assert.equal(await item.settle(complete), "settled");
    },
  },
  {
    id: "session.state-fenced",
    title: "who lost the lock of a session can neither read nor write its state",
    notFor: needsSessionState,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const silent = await stage.openSilenceable();
      const { transport: stalled } = silent;
      await transport.send(keyed(queue, "a1"));
      const late = stage.receive(stalled, source, { lockMs: 300 });
      const lost = await late.next();
      await lost.session?.write("old");
      await late.receiver.stop();
      silent.silence();
      const held = await stage.receive(transport, source).next();
      assert.equal(await held.session?.read(), "old");
      await held.session?.write("new");
      silent.wake();
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
