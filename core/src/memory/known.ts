import type { Forwarding } from "../ports/transport.ts";
import type { KnownTopology } from "../wiring/discrepancies.ts";
import type { Engine } from "./engine.ts";
import type { Mailbox } from "./mailbox.ts";

/** What is declared on this broker. */
export function knownTopology(engine: Engine): KnownTopology {
  return {
    queue: (name) => {
      const mailbox = engine.queues.get(name);
      if (mailbox === undefined) return undefined;
      return { name, dedupWindowMs: mailbox.remembered.windowMs, ...settingsOf(mailbox) };
    },
    topic: (name) => {
      const topic = engine.topics.get(name);
      return topic && { name, dedupWindowMs: topic.remembered.windowMs };
    },
    subscription: (topic, name) => {
      const mailbox = engine.topics.get(topic)?.subscriptions.get(name);
      if (mailbox === undefined) return undefined;
      const accepts = engine.topics.get(topic)?.accepts(name) ?? [];
      return { topic, name, accepts, ...settingsOf(mailbox) };
    },
    stream: (name) => {
      const log = engine.streams.get(name);
      return log && { name, partitions: log.partitions.length, retention: log.retention };
    },
  };
}

function settingsOf(mailbox: Mailbox): Forwarding & { readonly sessions: boolean } {
  const { forwardsTo = false, deadLettersTo = false } = mailbox.set();
  return {
    sessions: mailbox.sessions !== undefined,
    forwardTo: forwardsTo,
    forwardDeadLettersTo: deadLettersTo,
  };
}
