import {
  type Command,
  type Event,
  type Schema,
  type Stream,
  command,
  event,
  stream,
} from "@waybill/contracts";
import {
  type Bus,
  type Destination,
  type Envelope,
  type LogFields,
  type Logger,
  type Service,
  type StoredMessage,
  WaybillError,
  connect,
} from "@waybill/core";
import { type StallingEnvironment, stallingEnvironment } from "../stall.ts";
import { type Detour, Stage, type SuiteSubject } from "../suite/stage.ts";

/** The body that every message of the suite has. */
export interface Job {
  readonly id: string;
}

const Job: Schema<Job> = {
  "~standard": {
    version: 1,
    vendor: "failure-suite",
    validate: (value) => {
      const id: unknown = Object(value).id;
      return typeof id === "string"
        ? { value: { id } }
        : { issues: [{ message: "must be text", path: ["id"] }] };
    },
  },
};

/** A process of the application, as far as the broker can tell. */
export interface Process {
  readonly bus: Bus;
  /** Warnings and errors. */
  readonly log: readonly string[];
  /** Its breath: a stalled process renews no lock and runs nothing. */
  readonly breath: StallingEnvironment;
}

/** Two or more processes of one application on one broker, and time. */
export class FailureStage {
  readonly stage: Stage;
  readonly #subject: SuiteSubject;
  readonly #processes: Process[] = [];

  constructor(subject: SuiteSubject) {
    this.#subject = subject;
    this.stage = new Stage(subject);
  }

  /** Connects services as one process. */
  async process(...services: readonly Service[]): Promise<Process> {
    // A broker in memory takes its time from whoever opens it first; that must not be a process which will stall.
    if (this.#processes.length === 0) await this.stage.open();
    const detour = await this.#subject.detour?.();
    const breath = breathing(stallingEnvironment(this.stage.environment), detour);
    const log: string[] = [];
    const bus: Bus = await connect({
      transport: detour?.factory ?? this.#subject.factory,
      services,
      environment: breath,
      logger: collecting(log),
      localCalls: false,
    });
    const process = { bus, log, breath };
    this.#processes.push(process);
    return process;
  }

  /** What a foreign producer could put on the broker: past every check of ours. */
  async inject(
    to: Destination,
    header: Partial<Envelope["header"]>,
    body: Envelope["body"],
  ): Promise<void> {
    const transport = await this.stage.open();
    const envelope: Envelope = {
      header: {
        specversion: "1.0",
        id: this.stage.environment.id(),
        source: "/foreign",
        type: to.name,
        time: new Date(this.stage.now()).toISOString(),
        datacontenttype: "application/json",
        conversationid: "foreign",
        ...header,
      },
      body,
    };
    await transport.send([{ to, envelope }]);
  }

  /** Waits for that many dead letters. */
  async dead({ bus }: Process, count = 1): Promise<readonly StoredMessage[]> {
    let found: readonly StoredMessage[] = [];
    await this.stage.until(`${count} dead letters`, async () => {
      found = await bus.deadLetters.list();
      return found.length >= count;
    });
    return found;
  }

  async close(): Promise<void> {
    for (const { bus, breath } of this.#processes) {
      breath.wake();
      // Handlers that never end are part of the suite, so that a close may end by its deadline only.
      const closing = bus.close({ deadlineMs }).then(() => true, isIncomplete);
      while (!(await Promise.race([closing, this.stage.pass(deadlineMs)]))) continue;
    }
    await this.stage.close();
  }

  command(word: string): Command<string, Job> {
    return command(this.stage.name(word), { input: Job });
  }

  /** A command whose key is the first letter of the id. */
  keyedCommand(word: string): Command<string, Job> {
    return command(this.stage.name(word), { input: Job, key: ({ id }) => id.slice(0, 1) });
  }

  event(word: string): Event<string, Job, Record<never, never>> {
    return event(this.stage.name(word), { payload: Job });
  }

  stream(word: string): Stream<string, Job> {
    return stream(this.stage.name(word), { item: Job, key: () => "one", partitions: 1 });
  }
}

const deadlineMs = 50;

/** Who does not breathe gives its connection no signs of life either, where that is what the broker goes by. */
function breathing(breath: StallingEnvironment, detour: Detour | undefined): StallingEnvironment {
  if (detour === undefined) return breath;
  return {
    ...breath,
    stall: () => {
      breath.stall();
      detour.cut();
    },
    wake: () => {
      detour.mend();
      breath.wake();
    },
  };
}

function isIncomplete(error: unknown): true {
  if (error instanceof WaybillError && error.code === "SHUTDOWN_INCOMPLETE") return true;
  throw error;
}

function collecting(log: string[]): Logger {
  const take = (message: string, fields: LogFields = {}): void =>
    void log.push(`${message} ${JSON.stringify(fields)}`);
  return { debug: () => undefined, info: () => undefined, warn: take, error: take };
}
