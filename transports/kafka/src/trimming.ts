import type { Environment, Timer } from "@waybill/core";
import { type PartitionKey, partitionOf } from "./assignment.ts";
import type { KafkaClient } from "./client.ts";
import { brokerError } from "./errors.ts";

export interface TrimmingParts {
  readonly client: KafkaClient;
  readonly environment: Environment;
}

const everyMs = 5_000;

/** Deletes what is handled: nobody else reads a queue, and Kafka would keep it for ever. What a broker does not let us delete stays. */
export class Trimming {
  readonly #parts: TrimmingParts;
  readonly #done = new Map<PartitionKey, bigint>();
  readonly #due = new Map<PartitionKey, bigint>();
  #timer: Timer | undefined;
  #ended = false;

  constructor(parts: TrimmingParts) {
    this.#parts = parts;
  }

  /** Everything below that offset is done, and the group knows. */
  note(key: PartitionKey, offset: bigint): void {
    if (this.#ended || offset <= (this.#done.get(key) ?? 0n)) return;
    this.#due.set(key, offset);
    this.#timer ??= this.#parts.environment.timers.set(() => void this.#trim(), everyMs);
  }

  close(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  async #trim(): Promise<void> {
    const due = new Map(this.#due);
    this.#due.clear();
    const topics = new Map<string, { partition: number; offset: bigint }[]>();
    for (const [key, offset] of due) {
      const { topic, partition } = partitionOf(key);
      topics.set(topic, [...(topics.get(topic) ?? []), { partition, offset }]);
    }
    try {
      await this.#parts.client.admin.deleteRecords({
        topics: [...topics].map(([name, partitions]) => ({ name, partitions })),
      });
      for (const [key, offset] of due) this.#done.set(key, offset);
    } catch (thrown) {
      // Where it is not allowed, or not known, it will not be in five seconds either.
      if (!brokerError("Deleting what is handled", thrown).retryable) this.#ended = true;
    }
    this.#timer = undefined;
    if (this.#ended) return;
    for (const [key, offset] of this.#due) this.note(key, offset);
  }
}
