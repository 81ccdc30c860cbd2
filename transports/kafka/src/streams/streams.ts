import type {
  AddressSettings,
  AddressState,
  GroupState,
  SeekTarget,
  StreamSpec,
} from "@waybill/core";
import { plainSettings } from "@waybill/core/adapter";
import type { Aside } from "../aside.ts";
import type { KafkaClient } from "../client.ts";
import type { Log } from "../log.ts";
import type { TopicParts } from "../topics.ts";
import type { Names } from "../topology.ts";
import { declareStream } from "./declare.ts";
import { Groups, unknownGroup } from "./groups.ts";
import { seek } from "./seek.ts";

export interface StreamsParts extends TopicParts {
  readonly names: Names;
  readonly log: Log;
  readonly aside: Aside;
  /** Of the groups alone. */
  readonly groups: KafkaClient;
  /** Resolves when what was settled here is kept. */
  readonly flush: () => Promise<void>;
}

/** The streams of a cluster: their topics, the groups that read them, and what those set aside. */
export class Streams {
  readonly #parts: StreamsParts;
  readonly #groups: Groups;

  constructor(parts: StreamsParts) {
    this.#parts = parts;
    this.#groups = new Groups(parts);
  }

  async declare(specs: readonly StreamSpec[]): Promise<void> {
    // Where nothing may be created, it was verified.
    if (!this.#parts.mayCreate) return;
    for (const spec of specs)
      await declareStream(this.#parts, this.#parts.names.streamTopic(spec.name), spec);
  }

  /** What was settled here is counted. Rejects with NOT_FOUND. */
  async groups(stream: string): Promise<readonly GroupState[]> {
    await this.#parts.flush();
    return this.#groups.of(stream);
  }

  seek(stream: string, group: string, to: SeekTarget): Promise<GroupState> {
    const parts = { ...this.#parts, client: this.#parts.groups, groups: this.#groups };
    return seek(parts, { stream, group, to });
  }

  /** Of every group of every stream. */
  async settings(): Promise<readonly AddressSettings[]> {
    return (await this.#groups.addresses()).map(settingsOf);
  }

  /** Rejects with NOT_FOUND. */
  async assertKnown(address: string): Promise<void> {
    const [stream, group] = split(address);
    if (!(await this.#groups.named(stream)).includes(group)) throw unknownGroup(stream, group);
  }

  /** Of every group of every stream. */
  async states(): Promise<readonly AddressState[]> {
    await this.#parts.flush();
    const { aside } = this.#parts;
    const states: AddressState[] = [];
    for (const address of await this.#groups.addresses()) {
      const [stream, group] = split(address);
      const found = await this.#groups.of(stream).catch(() => []);
      const state = found.find((each) => each.group === group);
      if (state === undefined) continue;
      const ready = state.partitions.reduce((sum, { lag }) => sum + lag, 0);
      states.push({
        ...settingsOf(address),
        ready,
        dead: await aside.count(address, "dead"),
        deferred: 0,
        inFlight: undefined,
        scheduled: undefined,
        oldestReadyMs: undefined,
        receivers: undefined,
      });
    }
    return states;
  }
}

/** A group's name may hold anything; a stream's holds no `@`. */
function split(address: string): readonly [stream: string, group: string] {
  const at = address.indexOf("@");
  return [address.slice(0, at), address.slice(at + 1)];
}

function settingsOf(address: string): AddressSettings {
  return plainSettings({ address, kind: "stream", temporary: false });
}
