import type { Environment } from "@waybill/core";
import type { ConsumerInfo } from "@nats-io/jetstream";
import { brokerError, isMissing } from "./errors.ts";
import type { Link } from "./link.ts";
import { parsed } from "./message.ts";
import type { Names } from "./topology.ts";

export interface InterestParts {
  readonly link: Link;
  readonly names: Names;
  readonly environment: Environment;
}

interface Known {
  readonly at: number;
  readonly takers: readonly ConsumerInfo[];
}

/**
 * How long it is believed that a topic's consumers are still there. An event that is published within that time after the last of them was removed
 * shares the fate of what that consumer held.
 */
const believedMs = 1_000;

/** Who takes which events. JetStream drops an event without interest in silence, so who publishes asks before. */
export class Interest {
  readonly #parts: InterestParts;
  readonly #known = new Map<string, Known>();

  constructor(parts: InterestParts) {
    this.#parts = parts;
  }

  /** Undefined when there is no such topic. Only what is answered with "yes" may be a second old. */
  async has(topic: string, type: string): Promise<boolean | undefined> {
    const now = this.#parts.environment.clock.monotonic();
    const known = this.#known.get(topic);
    if (known !== undefined && now - known.at < believedMs && this.#anyOf(known, topic, type))
      return true;
    const takers = await this.#ask(topic);
    if (takers === undefined) {
      this.#known.delete(topic);
      return undefined;
    }
    this.#known.set(topic, { at: now, takers });
    return this.#anyOf({ at: now, takers }, topic, type);
  }

  /** Whether that subscription is there and takes the type. */
  async takes(topic: string, name: string, type: string): Promise<boolean> {
    const { names } = this.#parts;
    const { consumer } = names.place({ kind: "subscription", topic, name }, false);
    const takers = (await this.#ask(topic)) ?? [];
    return takers.some((each) => each.name === consumer && this.#takes(each, topic, type));
  }

  #anyOf({ takers }: Known, topic: string, type: string): boolean {
    return takers.some((taker) => this.#takes(taker, topic, type));
  }

  #takes({ config }: ConsumerInfo, topic: string, type: string): boolean {
    const { names } = this.#parts;
    const filters = config.filter_subjects ?? [config.filter_subject ?? ">"];
    if (!filters.some((filter) => matches(filter, names.eventSubject(topic, type)))) return false;
    return typesOf(config.description)?.includes(type) ?? true;
  }

  async #ask(topic: string): Promise<readonly ConsumerInfo[] | undefined> {
    const { link, names } = this.#parts;
    try {
      const takers: ConsumerInfo[] = [];
      for await (const each of link.jetstream.consumers.list(names.topicStream(topic)))
        takers.push(each);
      return takers;
    } catch (thrown) {
      if (isMissing(thrown)) return undefined;
      throw brokerError(`Asking who takes the events of "${topic}"`, thrown);
    }
  }
}

/** The types that a consumer of several takes: nats-server 2.9 filters by one subject only. */
export function typesOf(description: string | undefined): readonly string[] | undefined {
  const read = parsed(description ?? "");
  return Array.isArray(read) && read.every((each) => typeof each === "string") ? read : undefined;
}

/** Whether a subject is one of those that a filter means: "*" is one token, ">" one or more. */
function matches(filter: string, subject: string): boolean {
  const [wanted, given] = [filter.split("."), subject.split(".")];
  for (const [index, token] of wanted.entries()) {
    if (token === ">") return given.length > index;
    if (index >= given.length || (token !== "*" && token !== given[index])) return false;
  }
  return wanted.length === given.length;
}
