/** What makes queues, exchanges and bindings: a channel does, others note or check them. */
export interface Making {
  assertQueue(name: string, options: QueueOptions): Promise<unknown>;
  assertExchange(
    name: string,
    type: "topic" | "fanout",
    options: ExchangeOptions,
  ): Promise<unknown>;
  bindQueue(queue: string, exchange: string, pattern: string): Promise<unknown>;
  bindExchange(target: string, source: string, pattern: string): Promise<unknown>;
}

export interface QueueOptions {
  readonly durable: boolean;
  readonly exclusive?: boolean;
  readonly arguments?: Readonly<Record<string, unknown>>;
}

export interface ExchangeOptions {
  readonly durable: boolean;
  readonly alternateExchange?: string;
}
