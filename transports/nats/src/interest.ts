import type { Environment } from "@waybill/core";
import { parsedJson } from "@waybill/core/adapter";
import type { ConsumerInfo } from "@nats-io/jetstream";
import { isMissing, isStopping, stoppingError } from "./errors.ts";
import type { Link } from "./link.ts";
import type { Settings } from "./options.ts";
import type { Patience } from "./patience.ts";
import type { Standing } from "./standing.ts";
import type { Names } from "./topology.ts";

export interface InterestParts {
  readonly link: Link;
  readonly names: Names;
  readonly settings: Settings;
  readonly environment: Environment;
  readonly standing: Standing;
  readonly patience: Patience;
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

  #ask(topic: string): Promise<readonly ConsumerInfo[] | undefined> {
    const { patience, settings } = this.#parts;
    const end = patience.end(settings.sendTimeoutMs);
    return this.#askOnce(topic).catch((failure: unknown) =>
      patience.again(askingOf(topic), { end, failure }, () => this.#askOnce(topic)),
    );
  }

  async #askOnce(topic: string): Promise<readonly ConsumerInfo[] | undefined> {
    try {
      return await this.#list(this.#parts.names.topicStream(topic));
    } catch (thrown) {
      if (isMissing(thrown)) return undefined;
      throw isStopping(thrown) ? stoppingError(askingOf(topic), thrown) : thrown;
    }
  }

  async #list(stream: string): Promise<readonly ConsumerInfo[]> {
    const { link, standing } = this.#parts;
    const takers: ConsumerInfo[] = [];
    for await (const each of link.jetstream.consumers.list(stream)) takers.push(each);
    if (takers.length === 0) await standing.holds(stream);
    return takers;
  }
}

function askingOf(topic: string): string {
  return `Asking who takes the events of "${topic}"`;
}

/** The types that a consumer of several takes: nats-server 2.9 filters by one subject only. */
export function typesOf(description: string | undefined): readonly string[] | undefined {
  const read = parsedJson(description ?? "");
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
