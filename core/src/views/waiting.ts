import type { Receipt } from "../context.ts";
import { WaybillError } from "../errors.ts";
import type { Store } from "../ports/store.ts";
import type { Runtime } from "../runtime.ts";
import { typesOf } from "../wiring/former-names.ts";
import type { ViewBell } from "./bell.ts";
import type { ViewDefinition } from "./definition.ts";

export interface WaitForOptions {
  /** How long it waits, in milliseconds, 1 to 600,000. Default 5,000. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** What names the message: what `send`, `publish` and `append` answer. */
export type ViewToken = Pick<Receipt, "id">;

const deadlineMsDefault = 5_000;
const deadlineMsMost = 600_000;
const waitersMax = 10_000;
/** Who takes the message in another process tells nobody here, so the store is asked, ever less often. */
const askMs = 10;
const askMsMax = 250;

interface WaitingParts {
  readonly definition: ViewDefinition;
  readonly store: Pick<Store, "views">;
  readonly bell: ViewBell;
  readonly runtime: Pick<Runtime, "environment" | "vigil">;
}

/** Resolves when a view has taken a message, or one that it has caused. */
export async function waitFor(
  parts: WaitingParts,
  { id }: ViewToken,
  { deadlineMs = deadlineMsDefault, signal }: WaitForOptions = {},
): Promise<void> {
  const { definition, store, bell, runtime } = parts;
  checkOptions(id, deadlineMs);
  signal?.throwIfAborted();
  if (bell.count >= waitersMax)
    throw new WaybillError(
      "BUFFER_FULL",
      `${waitersMax} calls of this process wait for views already. Answer with what the view has, or wait for fewer.`,
      { retryable: true },
    );
  const types = definition.sources.flatMap(({ contract }) => typesOf(contract));
  const { clock } = runtime.environment;
  const until = clock.monotonic() + deadlineMs;
  const waiter = new Waiter(runtime.environment, signal);
  const release = runtime.vigil.hold();
  // Before it is asked: what is taken in between rings.
  const deafen = bell.listen(definition.name, id, () => waiter.wake());
  try {
    for (let pauseMs = askMs; ; pauseMs = Math.min(pauseMs * 2, askMsMax)) {
      if (waiter.isTold || (await store.views.isApplied(definition.name, id, types))) return;
      const leftMs = until - clock.monotonic();
      if (leftMs <= 0) throw behind(definition.name, id, deadlineMs);
      await waiter.pause(Math.min(pauseMs, leftMs));
      signal?.throwIfAborted();
    }
  } finally {
    deafen();
    waiter.end();
    release();
  }
}

/** Waits for a while, for the bell, or for the caller to give up. */
class Waiter {
  isTold = false;
  readonly #environment: Runtime["environment"];
  readonly #signal: AbortSignal | undefined;
  readonly #aborted = (): void => this.#go?.();
  #go: (() => void) | undefined;

  constructor(environment: Runtime["environment"], signal: AbortSignal | undefined) {
    this.#environment = environment;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#aborted, { once: true });
  }

  wake(): void {
    this.isTold = true;
    this.#go?.();
  }

  async pause(ms: number): Promise<void> {
    if (this.isTold || this.#signal?.aborted === true) return;
    await new Promise<void>((resolve) => {
      const timer = this.#environment.timers.set(resolve, ms);
      this.#go = () => {
        timer.cancel();
        resolve();
      };
    });
    this.#go = undefined;
  }

  end(): void {
    this.#signal?.removeEventListener("abort", this.#aborted);
  }
}

function checkOptions(id: unknown, deadlineMs: number): void {
  if (typeof id !== "string" || id === "")
    throw new WaybillError(
      "OPTION_INVALID",
      "A view waits for what send, publish or append answered: { id }.",
    );
  if (!(deadlineMs >= 1 && deadlineMs <= deadlineMsMost))
    throw new WaybillError(
      "OPTION_INVALID",
      `deadlineMs is ${String(deadlineMs)}; give milliseconds from 1 to ${deadlineMsMost}.`,
    );
}

function behind(view: string, id: string, deadlineMs: number): WaybillError {
  return new WaybillError(
    "VIEW_BEHIND",
    `The view "${view}" has not taken the message ${id}, nor anything that it caused, within ${deadlineMs} ms. Answer with what it has and say so, or wait longer; bus.views() says how far it is behind.`,
    { retryable: true, details: { view, id, deadlineMs } },
  );
}
