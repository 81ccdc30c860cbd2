import {
  type Environment,
  type Envelope,
  type GroupState,
  type SeekTarget,
  WaybillError,
  addressOf,
} from "@waybill/core";
import { readHandle } from "@waybill/core/adapter";
import type { Found } from "../aside.ts";
import { type DeclareParts, ensureStream } from "../declare.ts";
import { brokerError, isMissing } from "../errors.ts";
import { writeMessage } from "../message.ts";
import type { Publisher } from "../publisher.ts";
import type { Records } from "../records.ts";
import type { GroupName } from "../topology.ts";
import { type Cursor, readCursor, writeCursor } from "./cursor.ts";
import type { Logs, Range } from "./logs.ts";
import { offsetIn, partitionIn } from "./replays.ts";

const politeTries = 5;
const movedStepMax = 1_000;

export interface GroupsParts extends DeclareParts {
  readonly publisher: Publisher;
  readonly records: Records;
  readonly logs: Logs;
  readonly environment: Environment;
  readonly bodyBytesMax: number;
}

/** Items that a group has not completed. */
export interface Depth {
  readonly address: string;
  readonly ready: number;
}

export interface PutBack {
  readonly envelope: Envelope;
  readonly sendId: string;
}

/** The groups of all streams, whoever reads: their cursors say how far they are. */
export class Groups {
  readonly #parts: GroupsParts;

  constructor(parts: GroupsParts) {
    this.#parts = parts;
  }

  /** Throws NOT_FOUND. */
  async of(stream: string): Promise<readonly GroupState[]> {
    const ranges = await this.#parts.logs.ranges(stream);
    const groups = (await this.#names(stream)).map(({ group }) => group);
    return Promise.all(groups.map((group) => this.#state({ stream, group }, ranges)));
  }

  /** One partition after the other, each against the cursor that was read: who reads it is told by being refused. Throws NOT_FOUND, OPTION_INVALID. */
  async seek(group: GroupName, to: SeekTarget): Promise<GroupState> {
    const { logs } = this.#parts;
    const known = await this.#names(group.stream);
    const ranges = await logs.ranges(group.stream);
    if (!known.some((each) => each.group === group.group)) throw missingGroup(group, known);
    const offsets = await logs.offsets(group.stream, to);
    for (const [partition, offset] of offsets) await this.#move(group, partition, offset);
    this.#signal(group);
    return this.#state(group, ranges);
  }

  async depths(): Promise<readonly Depth[]> {
    const groups = await this.#names(undefined);
    const streams = [...new Set(groups.map(({ stream }) => stream))];
    const found = await Promise.all(streams.map((stream) => this.#rangesOf(stream)));
    const ranges = new Map(streams.map((stream, index) => [stream, found[index] ?? []]));
    return Promise.all(
      groups.map(async (group) => {
        const { partitions } = await this.#state(group, ranges.get(group.stream) ?? []);
        const address = addressOfGroup(group);
        const lag = partitions.reduce((sum, each) => sum + each.lag, 0);
        return { address, ready: lag + (await this.#putBackTo(address)) };
      }),
    );
  }

  /** A dead letter goes to its own group, and to the partition where it stood. */
  async putBack({ stored, read }: Found, { envelope, sendId }: PutBack): Promise<boolean> {
    const { names, publisher, environment, bodyBytesMax } = this.#parts;
    const { address } = stored;
    const group = groupOf(address);
    const token = readHandle(stored.handle)?.token ?? "";
    const partition = partitionIn(token);
    if (group === undefined || partition === undefined) return false;
    const isEdited = envelope !== stored.envelope;
    // An edited one is another message, at the same place.
    const name = isEdited ? `${partition}-${offsetIn(token)}-${environment.id()}` : token;
    const extras = isEdited
      ? {}
      : { failure: read.failure, enqueuedAt: stored.enqueuedAt, expiryLifted: true };
    const parcel = {
      subject: names.replaySubject(address, partition, name),
      sendId,
      ...writeMessage(envelope, extras, bodyBytesMax),
    };
    if ((await publisher.send([parcel])).length > 0) {
      await this.#makeRoom(address);
      if ((await publisher.send([parcel])).length > 0) return false;
    }
    this.#signal(group);
    return true;
  }

  async #makeRoom(address: string): Promise<void> {
    const { names } = this.#parts;
    const name = names.replayStream(address);
    const subjects = [names.replaySubject(address, "*", "*")];
    await ensureStream(this.#parts, { name, subjects, max_msgs_per_subject: 1 }).catch(
      (error: unknown) => {
        throw brokerError(`Making room for what is put back to "${address}"`, error);
      },
    );
  }

  async #putBackTo(address: string): Promise<number> {
    const { link, names } = this.#parts;
    try {
      return (await link.jetstream.streams.info(names.replayStream(address))).state.messages;
    } catch (thrown) {
      if (isMissing(thrown)) return 0;
      throw brokerError(`Looking at what was put back to "${address}"`, thrown);
    }
  }

  async #names(stream: string | undefined): Promise<readonly GroupName[]> {
    const { records, names } = this.#parts;
    const groups = new Map<string, GroupName>();
    for (const subject of await records.subjects(names.groupsOf(stream))) {
      const read = names.readCursorSubject(subject);
      if (read !== undefined) groups.set(addressOfGroup(read), read);
    }
    return [...groups.values()].toSorted((one, other) =>
      addressOfGroup(one) < addressOfGroup(other) ? -1 : 1,
    );
  }

  async #rangesOf(stream: string): Promise<readonly Range[]> {
    return this.#parts.logs.ranges(stream).catch((error: unknown) => {
      if (error instanceof WaybillError && error.code === "NOT_FOUND") return [];
      throw error;
    });
  }

  async #state(group: GroupName, ranges: readonly Range[]): Promise<GroupState> {
    const partitions = await Promise.all(
      ranges.map(async ({ oldest, end }, partition) => {
        const found = await this.#cursor(group, partition);
        const committed = Math.min(end, Math.max(oldest, found?.cursor.committed ?? oldest));
        return { partition, committed, end, lag: end - committed, oldest };
      }),
    );
    return { group: group.group, partitions };
  }

  async #cursor(
    group: GroupName,
    partition: number,
  ): Promise<{ readonly cursor: Cursor; readonly revision: number } | undefined> {
    const { records, names } = this.#parts;
    const stored = await records.get(names.cursorSubject(group, partition));
    const cursor = stored === undefined ? undefined : readCursor(stored.text);
    return stored === undefined || cursor === undefined
      ? undefined
      : { cursor, revision: stored.revision };
  }

  /** Who reads a busy partition writes faster than it can be read here: then it is overwritten, which all but repeats nothing that a seek would not. */
  async #move(group: GroupName, partition: number, offset: number): Promise<void> {
    const { records, names, environment } = this.#parts;
    for (let tries = 1; ; tries++) {
      const found = await this.#cursor(group, partition);
      if (found === undefined) return;
      // Two that overwrite at the same time are told apart.
      const step = 1 + Math.floor(environment.random() * movedStepMax);
      const moved = found.cursor.moved + step;
      const place = { committed: offset, delivered: offset, attempt: 0, moved };
      const text = writeCursor({ ...found.cursor, ...place });
      const write = tries < politeTries ? { text, expected: found.revision } : { text };
      if ((await records.put(names.cursorSubject(group, partition), write)) !== undefined) return;
    }
  }

  #signal(group: GroupName): void {
    this.#parts.link.connection.publish(this.#parts.names.signalSubject(group));
  }
}

function addressOfGroup({ stream, group }: GroupName): string {
  return addressOf({ kind: "stream", name: stream, group });
}

/** Undefined for what is no group's address: no other has the sign. */
export function groupOf(address: string): GroupName | undefined {
  const at = address.lastIndexOf("@");
  return at < 1 ? undefined : { stream: address.slice(0, at), group: address.slice(at + 1) };
}

function missingGroup({ stream, group }: GroupName, known: readonly GroupName[]): WaybillError {
  const others = known.map((each) => each.group).join(", ") || "none";
  return new WaybillError(
    "NOT_FOUND",
    `The stream "${stream}" has no group "${group}"; it has ${others}. A group begins when a service first reads.`,
  );
}
