import { messageOf } from "../errors.ts";
import type { Health } from "../operating/health.ts";
import type { Capture, CaptureHealth, CaptureHost } from "../ports/capture.ts";
import type { Runtime } from "../runtime.ts";
import type { Service } from "../service.ts";
import type { Speech } from "../speaking/speech.ts";
import { within } from "../within.ts";

const closeMsMax = 10_000;

interface CaptureParts {
  readonly runtime: Pick<Runtime, "environment" | "logger">;
  readonly speech: Speech;
  readonly mayCreate: boolean;
}

/** What the connected services capture. */
export class Captures {
  readonly #opened: readonly Capture[];
  readonly #parts: CaptureParts;

  private constructor(opened: readonly Capture[], parts: CaptureParts) {
    this.#opened = opened;
    this.#parts = parts;
  }

  /** After an error none is left open. */
  static async open(services: readonly Service[], parts: CaptureParts): Promise<Captures> {
    const opened: Capture[] = [];
    try {
      for (const { name, capture } of services)
        if (capture !== undefined) opened.push(await capture.open(hostFor(name, parts)));
    } catch (error) {
      await new Captures(opened, parts).close();
      throw error;
    }
    return new Captures(opened, parts);
  }

  get isEmpty(): boolean {
    return this.#opened.length === 0;
  }

  start(): void {
    for (const capture of this.#opened) capture.start();
  }

  health(): readonly CaptureHealth[] {
    return this.#opened.map((capture) => capture.health());
  }

  async close(): Promise<void> {
    await Promise.all(this.#opened.map((capture) => this.#close(capture)));
  }

  async #close(capture: Capture): Promise<void> {
    const { environment, logger } = this.#parts.runtime;
    const closed = Promise.resolve(capture[Symbol.asyncDispose]()).catch((error: unknown) => {
      logger.error(`${capture.name} did not close well: ${messageOf(error)}`);
    });
    if (!(await within(environment, closed, closeMsMax)))
      logger.error(`${capture.name} did not close within ${closeMsMax} ms and is left to itself.`);
  }
}

function hostFor(service: string, { runtime, speech, mayCreate }: CaptureParts): CaptureHost {
  const { environment, logger } = runtime;
  return {
    environment,
    logger,
    mayCreate,
    prepare: ({ contract, value, id }) =>
      speech.prepare(contract, value, { service, parent: undefined, options: { id } }),
    deliver: (batch) => speech.deliver(batch),
  };
}

const severity: readonly Health["status"][] = ["up", "degraded", "failed", "down"];

/** The same with what the captures say. */
export function withCaptures(health: Omit<Health, "captures">, captures: Captures): Health {
  const all = captures.health();
  const worst = [health.status, ...all.map(({ status }) => status)].toSorted(
    (left, right) => severity.indexOf(right) - severity.indexOf(left),
  );
  return {
    ...health,
    status: worst[0] ?? "up",
    reasons: [...health.reasons, ...all.flatMap(({ reasons }) => reasons)],
    captures: all,
  };
}
