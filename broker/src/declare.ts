import {
  addressOf,
  type Forwarding,
  compileAcceptances,
  type QueueSpec,
  type StreamSpec,
  type SubscriptionSpec,
  type TopicSpec,
  type Topology,
  WaybillError,
} from "@waybill/core";
import { refuseBadForwarding, refuseSecondOwner } from "./declare-checks.ts";
import { refuseWhatIsNotThere } from "./known.ts";
import { dedupWindowMsMax } from "./queues/dedup.ts";
import { messageOf } from "./errors.ts";
import { partitionIdMax } from "./streams/places.ts";
import { Refusal, type Transaction } from "./storage/transaction.ts";
import type { Operation } from "./storage/writer.ts";

export interface DeclareAnswer {
  resolve(): void;
  reject(error: WaybillError): void;
}

/** Creates what is missing of a topology; all of it or nothing. */
export class DeclareOperation implements Operation {
  readonly weight = 1;
  readonly bytes = 0;
  readonly #topology: Topology;
  readonly #instance: number;
  readonly #answer: DeclareAnswer;
  readonly #mayCreate: boolean;

  constructor(
    topology: Topology,
    by: { readonly instance: number; readonly mayCreate: boolean },
    answer: DeclareAnswer,
  ) {
    this.#topology = topology;
    this.#instance = by.instance;
    this.#mayCreate = by.mayCreate;
    this.#answer = answer;
  }

  run(transaction: Transaction): void {
    const { queues, topics, subscriptions, streams } = this.#topology;
    for (const spec of [...queues, ...topics]) refuseBadWindow(spec);
    for (const queue of queues) refuseSecondOwner(transaction, queue, this.#instance);
    for (const subscription of subscriptions) {
      refuseTopicMissing(transaction, subscription, topics);
      refuseBadRules(subscription);
    }
    for (const stream of streams) refuseRepartition(transaction, stream);
    refuseBadForwarding(transaction, this.#topology);
    if (!this.#mayCreate) refuseWhatIsNotThere(transaction, this.#topology);
    const draft = new Draft(transaction, this.#instance);
    for (const queue of queues) draft.queue(queue);
    for (const topic of topics) draft.topic(topic);
    for (const subscription of subscriptions) draft.subscription(subscription);
    for (const stream of streams) draft.stream(stream);
    draft.finish();
  }

  done(): void {
    this.#answer.resolve();
  }

  failed(error: WaybillError): void {
    this.#answer.reject(error);
  }
}

interface AddressRow {
  readonly id: number;
  readonly accepts: string | null;
  readonly instance: number | null;
  readonly dedup_ms: number;
  readonly sessions: number;
}

class Draft {
  readonly #transaction: Transaction;
  readonly #instance: number;
  #changed = false;

  constructor(transaction: Transaction, instance: number) {
    this.#transaction = transaction;
    this.#instance = instance;
  }

  queue({ name, owner, ...spec }: QueueSpec): void {
    const { sql } = this.#transaction;
    const id = this.#address("queue", name, spec);
    this.#forward(id, spec);
    if (owner !== undefined) sql.putOwner.run(id, this.#instance, owner.service, owner.place);
  }

  topic({ name, dedupWindowMs }: TopicSpec): void {
    this.#address("topic", `${name}/`, { dedupWindowMs });
  }

  subscription({ topic, name, accepts, temporary, sessions, ...spec }: SubscriptionSpec): void {
    const text = JSON.stringify(accepts);
    const address = addressOf({ kind: "subscription", topic, name });
    const id = this.#address("subscription", address, {
      topic,
      accepts: text,
      temporary,
      sessions,
    });
    this.#forward(id, spec);
  }

  #forward(id: number, { forwardTo, forwardDeadLettersTo }: Forwarding): void {
    const { sql, madeReady } = this.#transaction;
    let changes = 0;
    if (forwardTo !== undefined) {
      const target =
        forwardTo === false ? null : JSON.stringify({ kind: forwardTo.kind, name: forwardTo.name });
      changes += Number(sql.forwardAddress.run(target, id, target).changes);
      // What waits there goes on, or is delivered.
      if (changes > 0) madeReady.add(id);
    }
    if (forwardDeadLettersTo !== undefined) {
      const queue = forwardDeadLettersTo === false ? null : forwardDeadLettersTo;
      changes += Number(sql.forwardDeadLetters.run(queue, id, queue).changes);
    }
    if (changes > 0) this.#changed = true;
  }

  stream({ name, partitions, retention }: StreamSpec): void {
    const { sql } = this.#transaction;
    const ageMs = retention.ageMs === undefined ? null : Math.ceil(retention.ageMs);
    const bytes = retention.bytes === undefined ? null : Math.ceil(retention.bytes);
    const known = sql.streamByName.get(name) as StreamRow | undefined;
    if (known === undefined) {
      const { id } = sql.insertStream.get(name, partitions, ageMs, bytes) as { id: number };
      for (let number = 0; number < partitions; number++) {
        const { lastInsertRowid } = sql.insertPartition.run(id, number);
        if (Number(lastInsertRowid) > partitionIdMax) throw tooManyPartitions(name);
      }
      this.#changed = true;
    } else if (known.age_ms !== ageMs || known.bytes_max !== bytes)
      sql.updateRetention.run(ageMs, bytes, known.id);
  }

  finish(): void {
    if (this.#changed) this.#transaction.changeTopology();
  }

  #address(
    kind: "queue" | "topic" | "subscription",
    name: string,
    more: {
      topic?: string;
      accepts?: string;
      temporary?: boolean | undefined;
      dedupWindowMs?: number | undefined;
      sessions?: boolean | undefined;
    },
  ): number {
    const { sql } = this.#transaction;
    const { topic = null, accepts = null } = more;
    const known = sql.addressByName.get(kind, name) as AddressRow | undefined;
    if (known === undefined) {
      this.#changed = true;
      const created = sql.insertAddress.get(
        kind,
        name,
        topic,
        accepts,
        more.temporary === true ? this.#instance : null,
      );
      const { id } = created as { id: number };
      if (more.dedupWindowMs !== undefined) sql.updateDedup.run(more.dedupWindowMs, id);
      if (more.sessions === true) sql.keepSessions.run(id);
      return id;
    }
    if (more.sessions === true && known.sessions === 0) {
      this.#changed = true;
      sql.keepSessions.run(known.id);
    }
    if (known.accepts !== accepts) {
      this.#changed = true;
      sql.updateAccepts.run(accepts, known.id);
    }
    const { dedupWindowMs = known.dedup_ms } = more;
    if (dedupWindowMs !== known.dedup_ms) {
      this.#changed = true;
      sql.updateDedup.run(dedupWindowMs, known.id);
    }
    // A temporary address follows whoever declared it last; one that is declared for good stays.
    if (known.instance !== null)
      sql.takeAddress.run(more.temporary === true ? this.#instance : null, known.id);
    return known.id;
  }
}

function refuseBadWindow({ name, dedupWindowMs = 0 }: QueueSpec | TopicSpec): void {
  if (
    Number.isSafeInteger(dedupWindowMs) &&
    dedupWindowMs >= 0 &&
    dedupWindowMs <= dedupWindowMsMax
  )
    return;
  throw new Refusal(
    new WaybillError(
      "WIRING_INVALID",
      `The window of duplicate detection of "${name}" is ${dedupWindowMs}. Give milliseconds, a whole number from 0 to ${dedupWindowMsMax}.`,
      { details: { name, dedupWindowMs } },
    ),
  );
}

function refuseTopicMissing(
  { addresses }: Transaction,
  { topic, name }: SubscriptionSpec,
  declared: readonly TopicSpec[],
): void {
  if (addresses.topic(topic) !== undefined || declared.some((spec) => spec.name === topic)) return;
  throw new Refusal(
    new WaybillError(
      "WIRING_INVALID",
      `The subscription "${name}" is to a topic "${topic}" that does not exist. Declare the topic with it.`,
      { details: { topic, subscription: name } },
    ),
  );
}

function refuseBadRules({ topic, name, accepts }: SubscriptionSpec): void {
  try {
    compileAcceptances(accepts);
  } catch (error) {
    throw new Refusal(
      new WaybillError(
        "WIRING_INVALID",
        `A rule of the subscription "${name}" of "${topic}" cannot be read: ${messageOf(error)}.`,
        { cause: error, details: { topic, subscription: name } },
      ),
    );
  }
}

interface StreamRow {
  readonly id: number;
  readonly partitions: number;
  readonly age_ms: number | null;
  readonly bytes_max: number | null;
}

function refuseRepartition({ sql }: Transaction, { name, partitions }: StreamSpec): void {
  const known = sql.streamByName.get(name) as StreamRow | undefined;
  if (known === undefined || known.partitions === partitions) return;
  throw new Refusal(
    new WaybillError(
      "WIRING_INVALID",
      `The stream "${name}" has ${known.partitions} partitions; ${partitions} are declared. Items of a key would change their partition: declare ${known.partitions}, or a stream with a new name.`,
      { details: { stream: name, partitions: known.partitions } },
    ),
  );
}

function tooManyPartitions(name: string): WaybillError {
  return new WaybillError(
    "WIRING_INVALID",
    `There is no room for the partitions of "${name}": one broker holds ${partitionIdMax}.`,
  );
}
