import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { FromActor, ToActor } from "./messages.ts";

export interface Played<Result> {
  readonly result: Result;
  /** User and system time of the whole process. */
  readonly cpuSeconds: number;
}

const replyMsMax = 180_000;
const endMsMax = 10_000;

/** On which everything is ended and removed. */
export const stopSignals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM"];

/** A process that this benchmark started. It ends with the benchmark, whatever happens. */
export class Actor<Result> implements AsyncDisposable {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #replies: FromActor[] = [];
  #waiting: (() => void) | undefined;
  #gone = false;

  /** `file` is the URL of a module that calls `perform`. Resolves when its part is open. */
  static async start<Result>(
    file: URL,
    settings: object,
    options: { profile?: string | undefined } = {},
  ): Promise<Actor<Result>> {
    const actor = new Actor<Result>(file, settings, options.profile);
    try {
      await actor.#reply("ready");
    } catch (error) {
      await actor[Symbol.asyncDispose]();
      throw error;
    }
    return actor;
  }

  private constructor(file: URL, settings: object, profile: string | undefined) {
    this.#name = fileURLToPath(file).split("/").slice(-2).join("/");
    const profiling =
      profile === undefined
        ? []
        : [
            "--cpu-prof",
            `--cpu-prof-dir=${profile}`,
            `--cpu-prof-name=${this.#name.replaceAll("/", "-")}-${process.hrtime.bigint()}.cpuprofile`,
          ];
    this.#child = fork(file, [JSON.stringify(settings)], {
      execArgv: [
        "--conditions=@waybill/source",
        `--import=${new URL("without-telemetry.ts", import.meta.url).href}`,
        ...profiling,
      ],
      serialization: "advanced",
    });
    this.#child.on("message", (reply: FromActor) => {
      this.#replies.push(reply);
      this.#waiting?.();
    });
    // The benchmark then fails where it waits for this process, and what it made is removed on the way out.
    const stop = (): void => void this.#child.kill("SIGTERM");
    for (const signal of stopSignals) process.on(signal, stop);
    this.#ended = new Promise((resolve) =>
      this.#child.once("exit", () => {
        for (const signal of stopSignals) process.off(signal, stop);
        this.#gone = true;
        this.#waiting?.();
        resolve();
      }),
    );
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves when the round has begun there. */
  async begin(count: number): Promise<void> {
    this.#say({ say: "round", count });
    await this.#reply("begun");
  }

  async result(): Promise<Played<Result>> {
    const reply = await this.#reply("result");
    return { result: reply.result as Result, cpuSeconds: reply.cpuSeconds };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#gone) return;
    this.#say({ say: "end" });
    const killer = setTimeout(() => this.#child.kill("SIGKILL"), endMsMax);
    await this.#ended;
    clearTimeout(killer);
  }

  #say(message: ToActor): void {
    if (this.#child.connected) this.#child.send(message);
  }

  async #reply<Say extends FromActor["say"]>(
    expected: Say,
  ): Promise<Extract<FromActor, { say: Say }>> {
    const deadline = Date.now() + replyMsMax;
    for (;;) {
      const reply = this.#replies.shift();
      if (reply?.say === expected) return reply as Extract<FromActor, { say: Say }>;
      if (reply?.say === "failed") throw new Error(`${this.#name} failed: ${reply.error}`);
      if (reply !== undefined)
        throw new Error(`${this.#name} said ${reply.say} instead of ${expected}.`);
      if (this.#gone) throw new Error(`${this.#name} ended before it said ${expected}.`);
      if (Date.now() >= deadline)
        throw new Error(`${this.#name} did not say ${expected} within ${replyMsMax} ms.`);
      await this.#wait(deadline - Date.now());
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#waiting = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
