import {
  type AddressSettings,
  type AddressState,
  checkPauseReason,
  deliversNothing,
  type Envelope,
  type GroupState,
  type Inspection,
  type LedgerEntry,
  type ListQuery,
  type PurgeState,
  type Resumed,
  type SeekTarget,
  type StoredMessage,
  type Whereabouts,
  WaybillError,
  addressOf,
} from "@waybill/core";
import { PauseOperation, ResumeOperation } from "./address-pause.ts";
import { type Address, settingsOf } from "../addresses.ts";
import { encode } from "../storage/codec.ts";
import type { Connection } from "../storage/connection.ts";
import { Kept } from "../queues/depths.ts";
import { EmbeddedLedger } from "./ledger.ts";
import { asideMessage, listMessages } from "./listing.ts";
import {
  CancelOperation,
  type CountAnswer,
  DiscardOperation,
  type Purge,
  PurgeOperation,
  removeStepMax,
} from "./discard.ts";
import { ReplaceOperation, ReplayOperation, ResumeDeferredOperation } from "./replay.ts";
import { seqOf, whereaboutsOf } from "./whereabouts.ts";
import type { Operation } from "../storage/writer.ts";
import { stateOf } from "../queues/states.ts";
import { SeekOperation, groupState } from "../streams/seek.ts";

const limitMax = 1_000;
/** Handles that one transaction works on. */
const handlesMax = 500;

/** Looks into the broker by reading only; moving what was set aside goes through the writer like everything else. */
export class EmbeddedInspection implements Inspection {
  readonly #connection: Connection;
  readonly #assertOpen: () => void;
  readonly #depths: Kept<number>;
  readonly #ledger: EmbeddedLedger;

  constructor(connection: Connection, assertOpen: () => void) {
    this.#connection = connection;
    this.#assertOpen = assertOpen;
    this.#depths = new Kept(connection.environment.clock, (count) => count);
    this.#ledger = new EmbeddedLedger(connection);
  }

  async addresses(): Promise<readonly AddressState[]> {
    return [...this.#all()].map((address) => stateOf(this.#connection, address, this.#depths));
  }

  async settings(): Promise<readonly AddressSettings[]> {
    return [...this.#all()].map(settingsOf);
  }

  async pause(address: string, reason: string): Promise<void> {
    checkPauseReason(reason);
    const { id } = this.#delivering(address);
    await this.#submit((answer) => new PauseOperation({ address: id, reason }, answer));
  }

  async resume(address: string): Promise<boolean> {
    const { id } = this.#delivering(address);
    return (await this.#submit((answer) => new ResumeOperation(id, answer))) === 1;
  }

  async list(query: ListQuery): Promise<readonly StoredMessage[]> {
    this.#assertOpen();
    const { limit } = query;
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > limitMax) {
      throw new WaybillError(
        "OPTION_INVALID",
        `list({ limit }) takes a whole number from 1 to ${limitMax}, not ${limit}.`,
      );
    }
    this.#connection.addresses.reread();
    return listMessages(this.#connection, query);
  }

  async replay(handles: readonly string[]): Promise<number> {
    return this.#inSteps(handles, (step, answer) => new ReplayOperation(step, answer));
  }

  async follow(handles: readonly string[]): Promise<readonly Whereabouts[]> {
    this.#assertOpen();
    const { sql } = this.#connection;
    return handles.map((handle) => whereaboutsOf(sql, seqOf(handle)));
  }

  async resumeDeferred(handle: string): Promise<Resumed> {
    this.#assertOpen();
    return new Promise((resolve, reject) =>
      this.#connection.writer.submit(new ResumeDeferredOperation(handle, { resolve, reject })),
    );
  }

  async get(handle: string): Promise<StoredMessage | undefined> {
    this.#all();
    return asideMessage(this.#connection, handle);
  }

  async discard(handles: readonly string[]): Promise<number> {
    return this.#inSteps(handles, (step, answer) => new DiscardOperation(step, answer));
  }

  async cancel(ids: readonly string[], name?: string): Promise<number> {
    this.#assertOpen();
    const address = name === undefined ? undefined : this.#named(name)?.id;
    if (name !== undefined && address === undefined) return 0;
    let total = 0;
    for (let from = 0; from < ids.length; from += handlesMax) {
      const step = ids.slice(from, from + handlesMax);
      for (let count = removeStepMax; count === removeStepMax;) {
        this.#assertOpen();
        count = await this.#submit((answer) => new CancelOperation(step, address, answer));
        total += count;
      }
    }
    return total;
  }

  async purge(name: string, state: PurgeState): Promise<number> {
    const purge = this.#purgeOf(name, state);
    for (let total = 0; ;) {
      const count = await this.#submit((answer) => new PurgeOperation(purge, answer));
      total += count;
      if (count < removeStepMax) return total;
      this.#assertOpen();
    }
  }

  async replace(handle: string, envelope: Envelope): Promise<boolean> {
    this.#assertOpen();
    // Where it goes follows from where the other came from.
    const outgoing = { to: { kind: "queue", name: "" }, envelope } as const;
    const content = encode(outgoing, this.#connection.settings.bodyBytesMax);
    return (await this.#submit((answer) => new ReplaceOperation(handle, content, answer))) === 1;
  }

  async ledger(): Promise<readonly LedgerEntry[]> {
    this.#assertOpen();
    return this.#ledger.read();
  }

  async groups(stream: string): Promise<readonly GroupState[]> {
    const { id, groups } = this.#groupsOf(stream);
    const { sql } = this.#connection;
    return [...groups].map(([group, address]) => groupState(sql, { stream: id, address, group }));
  }

  async seek(stream: string, group: string, to: SeekTarget): Promise<GroupState> {
    const { id, groups } = this.#groupsOf(stream);
    const address = groups.get(group);
    if (address === undefined) {
      throw new WaybillError(
        "NOT_FOUND",
        `The stream "${stream}" has no group "${group}"; it has ${[...groups.keys()].join(", ") || "none"}. A group begins when a service first reads.`,
      );
    }
    const place = { stream: id, address, group };
    return new Promise((resolve, reject) =>
      this.#connection.writer.submit(new SeekOperation(place, to, { resolve, reject })),
    );
  }

  /** Addresses of its groups, by their names. */
  #groupsOf(stream: string): { readonly id: number; readonly groups: Map<string, number> } {
    const all = [...this.#all()];
    const entry = this.#connection.addresses.stream(stream);
    if (entry === undefined) {
      throw new WaybillError(
        "NOT_FOUND",
        `There is no stream "${stream}" on the broker. Declare it, or connect a service that uses it.`,
      );
    }
    const prefix = addressOf({ kind: "stream", name: stream, group: "" });
    const own = all.filter(({ kind, name }) => kind === "stream" && name.startsWith(prefix));
    return {
      id: entry.id,
      groups: new Map(own.map(({ id, name }) => [name.slice(prefix.length), id])),
    };
  }

  #purgeOf(name: string, state: PurgeState): Purge {
    const address = this.#find(name);
    if (address.kind === "stream" && state !== "dead") {
      throw new WaybillError(
        "NOT_SUPPORTED",
        `"${name}" is a group of a stream: what is ${state} there are items, which leave by retention. Only its dead letters can be purged.`,
      );
    }
    return { address: address.id, state };
  }

  #delivering(name: string): Address {
    const address = this.#find(name);
    return address.kind === "topic" ? deliversNothing(name) : address;
  }

  #find(name: string): Address {
    const address = this.#named(name);
    if (address !== undefined) return address;
    throw new WaybillError(
      "NOT_FOUND",
      `There is no address "${name}" on the broker. addresses() lists those that are.`,
    );
  }

  #named(name: string): Address | undefined {
    return [...this.#all()].find((address) => address.name === name);
  }

  #all(): Iterable<Address> {
    this.#assertOpen();
    const { addresses } = this.#connection;
    addresses.reread();
    return addresses.all();
  }

  #submit(create: (answer: CountAnswer) => Operation): Promise<number> {
    return new Promise((resolve, reject) =>
      this.#connection.writer.submit(create({ resolve, reject })),
    );
  }

  async #inSteps(
    handles: readonly string[],
    create: (handles: readonly string[], answer: CountAnswer) => Operation,
  ): Promise<number> {
    let count = 0;
    for (let from = 0; from < handles.length; from += handlesMax) {
      this.#assertOpen();
      const step = handles.slice(from, from + handlesMax);
      count += await this.#submit((answer) => create(step, answer));
    }
    return count;
  }
}
