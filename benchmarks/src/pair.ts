import { Actor } from "./actors/actor.ts";
import type { Consumed } from "./embedded/consumer.actor.ts";
import type { Produced } from "./embedded/producer.actor.ts";
import type { Twin } from "./twin.ts";

export interface Throughput {
  /** From the first send to the last settlement. */
  readonly perSecond: number;
  readonly producerCpuSeconds: number;
  readonly consumerCpuSeconds: number;
  /** From the first send to its last acknowledgement. */
  readonly sentPerSecond: number;
  readonly duplicates: number;
}

/** A producer process and a consumer process of one system, ready for rounds. */
export class Pair implements AsyncDisposable {
  readonly #producer: Actor<Produced>;
  readonly #consumer: Actor<Consumed>;
  readonly #resources: AsyncDisposable;

  static async open(
    twin: Twin,
    options: { profile?: string | undefined; settings?: object } = {},
  ): Promise<Pair> {
    const opened = await twin.open();
    const settings = { ...opened.settings, ...options.settings };
    await using cleaning = new AsyncDisposableStack();
    cleaning.use(opened);
    // The owner of the queue first: it declares what the producer sends to.
    const consumer = cleaning.use(
      await Actor.start<Consumed>(twin.files.consumer, settings, options),
    );
    const producer = cleaning.use(
      await Actor.start<Produced>(twin.files.producer, settings, options),
    );
    return new Pair(producer, consumer, cleaning.move());
  }

  private constructor(
    producer: Actor<Produced>,
    consumer: Actor<Consumed>,
    resources: AsyncDisposable,
  ) {
    this.#producer = producer;
    this.#consumer = consumer;
    this.#resources = resources;
  }

  async round(count: number): Promise<Throughput> {
    await this.#consumer.begin(count);
    await this.#producer.begin(count);
    const [produced, consumed] = await Promise.all([
      this.#producer.result(),
      this.#consumer.result(),
    ]);
    const { beganAt, endedAt } = produced.result;
    return {
      perSecond: (count / (consumed.result.settledAt - beganAt)) * 1_000,
      sentPerSecond: (count / (endedAt - beganAt)) * 1_000,
      producerCpuSeconds: produced.cpuSeconds,
      consumerCpuSeconds: consumed.cpuSeconds,
      duplicates: consumed.result.duplicates,
    };
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#resources[Symbol.asyncDispose]();
  }
}
