import type { Environment } from "@waybill/core";
import { acknowledged } from "./acknowledgements.ts";
import type { Addresses } from "./addresses.ts";
import { brokerError } from "./errors.ts";
import type { Link } from "./link.ts";
import { readMessage } from "./message.ts";
import type { Note, Notes } from "./notes.ts";
import { Pull, type Pulled, storedAt } from "./pull.ts";
import type { Settling } from "./settling.ts";
import type { Names } from "./topology.ts";

export interface DrainingParts {
  readonly link: Link;
  readonly addresses: Addresses;
  readonly names: Names;
  readonly notes: Notes;
  readonly settling: Settling;
  readonly environment: Environment;
}

const batchMax = 500;

/** Deletes what is ready at an address: takes it as a receiver would, so that nobody loses what he holds. */
export class Draining {
  readonly #parts: DrainingParts;

  constructor(parts: DrainingParts) {
    this.#parts = parts;
  }

  /** Answers how many. Rejects with NOT_FOUND. */
  async drain(address: string): Promise<number> {
    const { link, addresses } = this.#parts;
    const { stream, kind } = await addresses.placeOf(address);
    if (kind === "topic") return 0;
    try {
      const { last_seq: last } = (await link.jetstream.streams.info(stream)).state;
      for (let drained = 0; ;) {
        const taken = await this.#take(address, stream);
        for (const each of taken) drained += (await this.#drop(address, each, last)) ? 1 : 0;
        // Whoever sends meanwhile has no part in it.
        if (taken.length === 0 || taken.some(({ sequence }) => sequence > last)) return drained;
      }
    } catch (error) {
      throw brokerError(`Purging "${address}"`, error);
    }
  }

  async #take(address: string, stream: string): Promise<readonly Pulled[]> {
    const { link, names, environment } = this.#parts;
    const slash = address.indexOf("/");
    const { consumer } = names.place(
      slash < 0
        ? { kind: "queue", name: address }
        : { kind: "subscription", topic: address.slice(0, slash), name: address.slice(slash + 1) },
      false,
    );
    const taken: Pulled[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const pull = new Pull({
      connection: link.connection,
      stream,
      consumer,
      now: () => environment.clock.monotonic(),
      message: (message) => {
        if (taken.push(message) === batchMax) resolve();
      },
      ended: resolve,
      gone: resolve,
    });
    pull.request(batchMax);
    await promise;
    await pull.end();
    return taken;
  }

  /** What came later, or waits for its time, goes back. */
  async #drop(address: string, message: Pulled, last: number): Promise<boolean> {
    const { settling, notes, environment } = this.#parts;
    const { sequence, timestampNanos, raw } = message;
    const { notBefore = 0 } = readMessage(raw, { at: storedAt(message), name: "" });
    const earlyMs = notBefore - environment.clock.now();
    if (sequence <= last && earlyMs <= 0)
      return (await settling.tell(message, acknowledged)) === "settled";
    const noted = { address, sequence, timestampNanos };
    const note: Note = message.deliveries > 1 ? await notes.read(noted) : { uncounted: 0 };
    await settling.giveBack({ noted, note, message }, Math.max(0, earlyMs));
    return false;
  }
}
