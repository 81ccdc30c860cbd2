import type { PlantedBug } from "./bug.fixture.ts";

const mailbox = "core/src/memory/mailbox.ts";
const sessions = "core/src/memory/sessions.ts";

/** In the in-memory broker. */
export const inMemoryBugs: readonly PlantedBug[] = [
  {
    name: "a released message has lost an attempt",
    file: mailbox,
    text: "message.attempt -= 1;\n        return this.#holdBack",
    instead: "return this.#holdBack",
  },
  {
    name: "a retry forgets why it failed",
    file: mailbox,
    text: "message.failure = settlement.failure;\n        if (settlement.delayMs",
    instead: "if (settlement.delayMs",
  },
  {
    name: "what a dead process held goes to the end of the queue",
    file: mailbox,
    text: "    this.#putBack(message);\n    if (message.session",
    instead: "    this.#enqueue(message);\n    if (message.session",
  },
  {
    name: "released messages come back in the wrong order",
    file: "core/src/memory/line.ts",
    text: ".order > message.order) place",
    instead: ".order < message.order) place",
  },
  {
    name: "a delivery can be settled twice",
    file: "core/src/memory/receiver.ts",
    text: "if (!this.holds(delivery)) return lockLost;",
    instead: "if (this.#dead) return lockLost;",
  },
  {
    name: "an acceptance must hold with all others instead of alone",
    file: "core/src/wiring/acceptances.ts",
    text: "alternatives.some((each) => each.wants(attributes))",
    instead: "alternatives.every((each) => each.wants(attributes))",
  },
  {
    name: "a partition moves while its items are in flight",
    file: "core/src/memory/group.ts",
    text: "cursor.owner !== cursor.target && cursor.inFlight === 0",
    instead: "cursor.owner !== cursor.target",
  },
  {
    name: "an event that nobody subscribes to is dropped in silence",
    file: "core/src/memory/engine.ts",
    text: "routes === undefined ? [topic]",
    instead: "routes === undefined ? []",
  },
  {
    name: "a renewal does not lengthen the lock",
    file: "core/src/memory/lease.ts",
    text: "return Math.max(since, this.#renewedAt) + this.#parts.lockMs;",
    instead: "return (since || this.#renewedAt) + this.#parts.lockMs;",
  },
  {
    name: "expired calls are set aside instead of deleted",
    file: "core/src/memory/leaving.ts",
    text: 'if (parcel.discardExpired) return this.leave(message, "expired");',
    instead: "",
  },
  {
    name: "two receivers share a session",
    file: sessions,
    text: "if (session.queued || session.held > 0 || session.parkedBy",
    instead: "if (session.queued || session.parkedBy",
  },
  {
    name: "a session is overtaken by what its receiver holds behind a retry",
    file: sessions,
    text: "this.#kernel.now() + delayMs);\n    session.holder?.returnBehind(message);",
    instead: "this.#kernel.now() + delayMs);",
  },
  {
    name: "a session goes on while its dead letter is parked",
    file: sessions,
    text: "session.held > 0 || session.parkedBy !== undefined) return;",
    instead: "session.held > 0) return;",
  },
  {
    name: "a duplicate is stored",
    file: "core/src/memory/remembered.ts",
    text: "return (this.#until.get(key) ?? now) > now;",
    instead: "return false;",
  },
  {
    name: "a resumed message has lost an attempt",
    file: mailbox,
    text: "again.attempt = message.attempt - 1;",
    instead: "again.attempt = message.attempt;",
  },
  {
    name: "what a group sets aside again after a seek takes the place of its first dead letter",
    file: "core/src/memory/group.ts",
    text: "const copy = new Message(this.#kernel.nextSequence(), item.parcel, this);",
    instead: "const copy = new Message(item.seq, item.parcel, this);",
  },
  {
    name: "state that completes with a message is not kept",
    file: "core/src/memory/session-handle.ts",
    text: "const before = session.state;\n  sessions.keep(session, body);",
    instead: "const before = session.state;",
  },
  {
    name: "a seek to a moment passes over what was taken in at that moment",
    file: "core/src/operating/seek.ts",
    text: "if (takenAt(middle) < moment)",
    instead: "if (takenAt(middle) <= moment)",
  },
  {
    name: "a seek to an offset begins behind it",
    file: "core/src/operating/seek.ts",
    text: "Math.max(range.oldest, offset))",
    instead: "Math.max(range.oldest, offset + 1))",
  },
  {
    name: "retention removes items a second too early",
    file: "core/src/memory/partition.ts",
    text: "oldest.parcel.enqueuedAt >= bounds.before &&",
    instead: "oldest.parcel.enqueuedAt >= bounds.before + 1_000 &&",
  },
  {
    name: "a paused queue forwards",
    file: "core/src/memory/exit.ts",
    text: "if (settings.forwardsTo === undefined || receivers.paused !== undefined) return false;",
    instead: "if (settings.forwardsTo === undefined) return false;",
  },
  {
    name: "a dead letter that stands elsewhere has forgotten where it died",
    file: "core/src/memory/kept.ts",
    text: "message.origin = origin;",
    instead: "void origin;",
  },
  {
    name: "a temporary queue outlives its process",
    file: "core/src/memory/transport.ts",
    text: "for (const drop of this.temporaries.splice(0)) drop();",
    instead: "",
  },
  {
    name: "a session that waits for two dead letters goes on after the first",
    file: "core/src/memory/sessions.ts",
    text: "delete(message) !== true || session.parkedBy.size > 0) return;",
    instead: "delete(message) !== true) return;",
    cases: ["session.park-twice"],
  },
  {
    name: "what expired in a session and is replayed overtakes what was sent before it",
    file: "core/src/memory/line.ts",
    text: "return last === undefined || (first !== undefined && first.order < last.order) ? first : last;",
    instead: "return last ?? first;",
  },
];
