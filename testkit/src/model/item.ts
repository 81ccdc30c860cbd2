import type { MessageState } from "@waybill/core";

export type ItemState = "ready" | "scheduled" | "held" | "orphan" | "deferred" | "dead" | "gone";

/** Who holds an item: one delivery, and nobody else. */
export interface Token {
  /** The receiver that it was handed to. */
  readonly receiver: object;
}

/**
 * queue: one of a queue or a subscription. session: one of a queue that keeps sessions, with a key. log: what a group has of an item of a
 * stream. copy: the dead letter that a group set aside; its item is done.
 */
export type ItemKind = "queue" | "session" | "log" | "copy";

/** What the model knows of one message in one place. */
export interface Item {
  readonly kind: ItemKind;
  /** Its body, which no other message has, but the copies of an item. */
  readonly id: string;
  /** As `addressOf` writes it. */
  readonly address: string;
  /** Place in the order of sending. */
  readonly order: number;
  /** Of its session, or in a stream. */
  readonly key: string | undefined;
  readonly type: string;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly discardExpired: boolean;
  state: ItemState;
  attempt: number;
  due: number;
  notAfter: number;
  /** Whether its place in the order is promised: retries, replays and delays change it. */
  orderly: boolean;
  /** The step in which it became ready, or came back. */
  since: number;
  /** And the moment. */
  sinceAt: number;
  /** When the broker took it. */
  readonly sentAt: number;
  holder: Token | undefined;
  /** When a dead process's lock ends, at the earliest and at the latest. */
  freeFrom: number;
  freeBy: number;
  failure: string | undefined;
  /** Of its deliveries. */
  handle: string | undefined;
  /** Its session waits until it is replayed or discarded. */
  parks: boolean;
  /** Was deleted by hand. */
  discarded: boolean;
  /** Done while one before it was not, in a group whose members changed: the group's position may lie before it, and it may come again. */
  mayRepeat: boolean;
  /** Retention has removed it from its stream: who has it may go on with it, and others need not get it. */
  removed: boolean;
  /** The queue among whose dead letters it stands, where that is another one. */
  keptAt: string | undefined;
  /** Its queue ends with a process that was killed: until that moment it may still stand there. */
  lingersUntil: number;
}

/** When something is observed: the moment, the step, and how late time may move things. */
export interface Moment {
  readonly now: number;
  readonly step: number;
  readonly slackMs: number;
  /** The same where nobody waits. */
  readonly slowMs: number;
}

/** The states in which a listing may show an item; "gone" when it may be absent. */
export function statesAllowed(item: Item, { now, slackMs }: Moment): ReadonlySet<ListedState> {
  const allowed = new Set<ListedState>();
  switch (item.state) {
    case "held":
      return allowed.add("inFlight");
    case "dead":
    case "gone":
      return allowed.add(item.state);
    case "orphan":
      if (now < item.freeBy) allowed.add("inFlight");
      if (now < item.freeFrom) return allowed;
      allowed.add("ready");
      break;
    case "scheduled":
      if (now < item.due + slackMs || now === item.due) allowed.add("scheduled");
      if (now >= item.due) allowed.add("ready");
      break;
    case "ready":
    case "deferred":
      allowed.add(item.state);
      break;
  }
  // What was deferred waits for whoever resumes it.
  if (item.notAfter > now || item.state === "deferred") return allowed;
  const noticed = Math.max(item.notAfter, item.sinceAt) + slackMs;
  if (now >= noticed && item.state !== "orphan") allowed.clear();
  return allowed.add(item.discardExpired ? "gone" : "dead");
}

export type ListedState = MessageState | "gone";

/** Takes over what a listing has shown, where the model left it open. */
export function adopt(item: Item, listed: ListedState, moment: Moment): void {
  if (listed === "ready" && item.state !== "ready") {
    item.state = "ready";
    item.since = moment.step;
    item.sinceAt = moment.now;
  } else if (listed === "dead" && item.state !== "dead") {
    item.state = "dead";
    item.failure = undefined;
  } else if (listed === "gone") item.state = "gone";
}

/** What is wrong with delivering this item now; undefined when it may be. */
export function deliveryFault(item: Item, { now }: Moment): string | undefined {
  if (item.mayRepeat) return undefined;
  if (item.notAfter <= now) return "it has expired";
  switch (item.state) {
    case "ready":
    case "scheduled":
      return item.due <= now ? undefined : `it is due in ${item.due - now} ms`;
    case "orphan":
      return item.freeFrom <= now
        ? undefined
        : `the lock of the dead process lasts another ${item.freeFrom - now} ms`;
    case "held":
      return "somebody holds it and its lock stands";
    case "deferred":
    case "dead":
      return `it is ${item.state} and nobody replayed it`;
    case "gone":
      return "it was completed, discarded or deleted";
  }
}

/** The item is ready again, at its old place. */
export function comeBack(item: Item, moment: Moment): void {
  item.state = "ready";
  item.due = 0;
  item.parks = false;
  item.since = moment.step;
  item.sinceAt = moment.now;
  item.holder = undefined;
  item.keptAt = undefined;
  if (!item.removed) return;
  item.state = "gone";
  item.mayRepeat = true;
}
