/** A bug that somebody could have made: one place of the source, and what would stand there. */
export interface PlantedBug {
  readonly name: string;
  /** From the root of the repository. */
  readonly file: string;
  /** Must stand there exactly once. */
  readonly text: string;
  readonly instead: string;
}

const mailbox = "core/src/memory/mailbox.ts";
const sessions = "core/src/memory/sessions.ts";

const inMemory: readonly PlantedBug[] = [
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
];

const embedded: readonly PlantedBug[] = [
  {
    name: "a release counts as an attempt",
    file: "broker/src/queues/settle.ts",
    text: "return this.#comeBack(transaction, attempt - 1, ",
    instead: "return this.#comeBack(transaction, attempt, ",
  },
  {
    name: "a lock that was lost still settles",
    file: "broker/src/queues/settle.ts",
    text: "if (transaction.sql.unlock.run(lease, seq).changes === 0) return this.#lost();",
    instead: "transaction.sql.unlock.run(lease, seq);",
  },
  {
    name: "a crash does not count as an attempt",
    file: "broker/src/storage/statements.ts",
    text: "select address, seq, attempt, bytes, expires from locked where lease = ?",
    instead: "select address, seq, attempt - 1, bytes, expires from locked where lease = ?",
  },
  {
    name: "what was delayed comes a second early",
    file: "broker/src/queues/arrivals.ts",
    text: "if (notBefore !== undefined && notBefore > now) {",
    instead: "if (notBefore !== undefined && notBefore > now + 1_000) {",
  },
  {
    name: "what a handler sends is lost when its message is completed",
    file: "broker/src/queues/settle.ts",
    text: "if (send.length > 0) store(transaction, send);",
    instead: "",
  },
  {
    name: "locks of dead processes never end",
    file: "broker/src/queues/sweep.ts",
    text: "endLeases(transaction);\n    buryExpired",
    instead: "buryExpired",
  },
  {
    name: "a group's position passes what is still in flight",
    file: "broker/src/streams/reader.ts",
    text: 'if (entry.state !== "done" && !ending.has(entry)) return entry.offset;',
    instead: "if (entry.offset < 0) return entry.offset;",
  },
  {
    name: "a subscription keeps its old rules when it is declared anew",
    file: "broker/src/declare.ts",
    text: "sql.updateAccepts.run(accepts, known.id);",
    instead: "",
  },
  {
    name: "a receiver takes one message more than it may",
    file: "broker/src/storage/budget.ts",
    text: "Math.max(0, this.#messagesMax - this.#messages)",
    instead: "Math.max(0, this.#messagesMax + 1 - this.#messages)",
  },
  {
    name: "a discarded message stays where it is",
    file: "broker/src/operating/discard.ts",
    text: "/^\\d{1,15}$/.test(handle)).map(Number)",
    instead: "/^\\d{1,15}$/.test(handle)).map(() => 0)",
  },
  {
    name: "a session that somebody holds is offered to others",
    file: "broker/src/queues/sessions.ts",
    text: "if (turn !== null || lease !== null || parked",
    instead: "if (turn !== null || parked",
  },
  {
    name: "what a receiver holds behind a retry in a session stays with it",
    file: "broker/src/queues/settle.ts",
    text: "if (!isDone(ending)) holdBack(",
    instead: "if (ending.send.length > 1) holdBack(",
  },
  {
    name: "a shorter delay in a session ends the longer one",
    file: "broker/src/storage/statements.ts",
    text: "set due = max(coalesce(due, 0), ?)",
    instead: "set due = ?",
  },
  {
    name: "a parking dead letter does not park",
    file: "broker/src/queues/settle.ts",
    text: "transaction.sql.parkSession.run(this.#delivery.seq, session);",
    instead: "transaction.sql.parkSession.run(null, session);",
  },
  {
    name: "an id is remembered, and its duplicate stored all the same",
    file: "broker/src/queues/dedup.ts",
    text: "until, now).changes === 0)\n    return true;",
    instead: "until, now).changes === 0)\n    return false;",
  },
  {
    name: "a resumed message is lost",
    file: "broker/src/operating/replay.ts",
    text: "arriveAgain(transaction, { address, seq, attempt: attempt - 1, bytes, expires: expiryLifted });",
    instead: "void [attempt, bytes];",
  },
  {
    name: "a seek does not fence who reads",
    file: "broker/src/storage/stream-statements.ts",
    text: "attempt = 0, lease = null where address = ? and partition = ?",
    instead: "attempt = 0 where address = ? and partition = ?",
  },
  {
    name: "what was replayed and released until later has lost its number and its failure",
    file: "broker/src/queues/sweep.ts",
    text: "if (id === null) return seq;",
    instead: "if (id === undefined) return seq;",
  },
  {
    name: "a paused address delivers",
    file: "broker/src/addresses.ts",
    text: "return paused === undefined && forwardsTo === undefined;",
    instead: "return forwardsTo === undefined || paused === undefined;",
  },
];

/** Of the in-memory broker and of the embedded one, each planted alone. At least nine of ten must be caught. */
export const plantedBugs: readonly PlantedBug[] = [...inMemory, ...embedded];
