/**
 * What `send`, `publish` and `append` give a handler. It knows whether anybody looked at it: a send that was refused
 * and that nobody awaited must fail the handler, not bring the process down as an unhandled rejection.
 */
export class Said<Value> extends Promise<Value> {
  #seen = false;

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  static of<Value>(work: Promise<Value>): Said<Value> {
    const said = new Said<Value>((resolve) => resolve(work));
    work.catch(() => undefined);
    void Promise.prototype.then.call(said, undefined, () => undefined);
    return said;
  }

  // oxlint-disable-next-line unicorn/no-thenable -- a promise that notices being awaited has to be one
  override then<Kept = Value, Caught = never>(
    onKept?: ((value: Value) => Kept | PromiseLike<Kept>) | null,
    onRefused?: ((reason: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<Kept | Caught> {
    this.#seen = true;
    return super.then(onKept, onRefused);
  }

  /** Resolves when the work is done; rejects with its error when nobody else has seen it. */
  async ended(): Promise<void> {
    try {
      await super.then(undefined);
    } catch (error) {
      if (!this.#seen) throw error;
    }
  }
}
