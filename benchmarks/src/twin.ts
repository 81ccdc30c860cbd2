/** The same work done by what people use today, in the same run on the same machine. */
export interface Twin {
  readonly name: string;
  /** Modules that call `perform`, with `Produced` and `Consumed` as their results. */
  readonly files: { readonly producer: URL; readonly consumer: URL };
  /** The server and its version; undefined when it does not listen here. */
  version(): Promise<string | undefined>;
  /** Makes what the processes need on the server; disposing removes it. */
  open(): Promise<AsyncDisposable & { readonly settings: object }>;
}
