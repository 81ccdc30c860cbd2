import type { Environment } from "@waybill/core";
import { type Note, type Notes, firstDelivery } from "./notes.ts";
import type { Pulled } from "./pull.ts";
import type { Settling } from "./settling.ts";
import type { Names } from "./topology.ts";

export interface IntakeParts {
  readonly address: string;
  /** Of a subscription. */
  readonly subscription: string | undefined;
  readonly names: Names;
  readonly notes: Notes;
  readonly settling: Settling;
  readonly environment: Environment;
  /** Of a subscription to several types, those; asked anew where they are in doubt. */
  readonly types: (isInDoubt: boolean) => Promise<readonly string[] | undefined>;
  readonly admit: (message: Pulled, note: Note) => void;
  /** Everything that came was looked at. */
  readonly looked: () => void;
  readonly fault: (error: unknown) => void;
}

/** What came and is not looked at yet: leaves out what is for others, and finds the notes of what was here before. */
export class Intake {
  readonly #parts: IntakeParts;
  #arrived: Pulled[] = [];
  #looking: Promise<void> = Promise.resolve();
  #isDue = false;

  constructor(parts: IntakeParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#arrived.length;
  }

  arrive(message: Pulled): void {
    this.#arrived.push(message);
    this.soon();
  }

  /** What one read of the socket brought is handed over together. A process that stands still looks at nothing, and asks for nothing. */
  soon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#parts.environment.timers.soon(() => {
      this.#isDue = false;
      void this.look();
    });
  }

  /** One after the other, so that order is kept. */
  look(): Promise<void> {
    const looking = this.#looking.then(() => this.#lookAtAll());
    this.#looking = looking.catch((error: unknown) => this.#parts.fault(error));
    return this.#looking;
  }

  async #lookAtAll(): Promise<void> {
    const { admit, looked } = this.#parts;
    const messages = this.#arrived.splice(0);
    const wanted = await this.#wantedOf(messages);
    // Almost nothing has been here before, and then nothing is to be waited for.
    const notes = wanted.some(({ deliveries }) => deliveries > 1)
      ? await Promise.all(wanted.map((message) => this.#noteOf(message)))
      : [];
    for (const [index, message] of wanted.entries()) admit(message, notes[index] ?? firstDelivery);
    looked();
  }

  async #noteOf({ deliveries, sequence, timestampNanos }: Pulled): Promise<Note> {
    if (deliveries < 2) return firstDelivery;
    const { notes, address } = this.#parts;
    return notes.read({ address, sequence, timestampNanos });
  }

  /** A consumer of a topic also gets what goes back to one of the others, and one of several types what it has no use for. */
  async #wantedOf(messages: readonly Pulled[]): Promise<readonly Pulled[]> {
    const { names, subscription, settling, types } = this.#parts;
    if (subscription === undefined || messages.length === 0) return messages;
    let accepted = await types(false);
    const isOf = ({ raw: { subject } }: Pulled): boolean =>
      accepted === undefined || names.isOf(subject, accepted);
    // Another process may have declared more types since.
    if (!messages.every(isOf)) accepted = await types(true);
    const isWanted = (message: Pulled): boolean =>
      names.isFor(message.raw.subject, subscription) && isOf(message);
    for (const message of messages) if (!isWanted(message)) void settling.skip(message);
    return messages.filter(isWanted);
  }
}
