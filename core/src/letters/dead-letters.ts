import { AsideMessages, type StoredParts } from "./stored-messages.ts";
import { WaybillError } from "../errors.ts";
import type { Environment } from "../ports/environment.ts";
import type { StoredMessage } from "../ports/transport.ts";
import type { AnyContract } from "../wiring/uses.ts";
import { type Likeness, likenessOf } from "./fingerprint.ts";
import { Replay, type ReplayReport, type ReplaySettings } from "./replay.ts";

/** Which dead letters; all when nothing is said. */
export interface DeadLetterQuery {
  /** As `addressOf` writes it. */
  readonly address?: string;
  readonly contract?: Pick<AnyContract, "name">;
  /** As `groups()` answers it. */
  readonly fingerprint?: string;
  /** Most dead letters looked at, oldest first, 1 to 1,000,000. Default 100,000. */
  readonly lookAtMax?: number;
}

/** Dead letters that failed in the same way. */
export interface DeadLetterGroup extends Likeness {
  readonly count: number;
  readonly addresses: readonly string[];
  readonly contracts: readonly string[];
  /** Milliseconds since 1970. */
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  /** The oldest of them. */
  readonly sample: StoredMessage;
}

export interface DeadLetterGroups {
  /** Largest first, at most 1,000. */
  readonly groups: readonly DeadLetterGroup[];
  readonly looked: number;
  /** Letters whose group would have been one too many. Above 0: name an address or a contract. */
  readonly ungrouped: number;
  /** False when `lookAtMax` was reached, so that there may be more. */
  readonly complete: boolean;
}

export interface ReplayOptions extends DeadLetterQuery, ReplaySettings {}

const lookAtMaxDefault = 100_000;
const groupsMax = 1_000;
/** Addresses and contracts that a group names. */
const namesMax = 20;

/** The dead letters of every address, alone and by what they have in common. */
export class DeadLetters extends AsideMessages {
  readonly #environment: Environment;

  constructor(parts: StoredParts, environment: Environment) {
    super(parts, "dead");
    this.#environment = environment;
  }

  /** What the dead letters died of. Reads each of them; memory is bounded by the number of groups. Error: OPTION_INVALID. */
  async groups(query: DeadLetterQuery = {}): Promise<DeadLetterGroups> {
    const groups = new Map<string, Gathered>();
    let looked = 0;
    let ungrouped = 0;
    for await (const letter of this.#fitting(query)) {
      looked = letter.looked;
      if (letter.message === undefined) continue;
      const likeness = likenessOf(letter.message.failure);
      const known = groups.get(likeness.fingerprint);
      if (known !== undefined) gather(known, letter.message);
      else if (groups.size === groupsMax) ungrouped += 1;
      else groups.set(likeness.fingerprint, begin(likeness, letter.message));
    }
    return {
      groups: [...groups.values()]
        .toSorted((left, right) => right.count - left.count)
        .map((group) => ({
          ...group,
          addresses: [...group.addresses],
          contracts: [...group.contracts],
        })),
      looked,
      ungrouped,
      complete: looked < (query.lookAtMax ?? lookAtMaxDefault),
    };
  }

  /**
   * Puts back every dead letter that fits (a group, an address, a contract, or all), at a rate, and follows each to its end. What dies
   * during the replay is not put back a second time. Error: OPTION_INVALID.
   */
  async replayAll(options: ReplayOptions = {}): Promise<ReplayReport> {
    const replay = new Replay(this.parts.inspection, this.#environment, options);
    const letters: StoredMessage["handle"][] = [];
    const published: string[] = [];
    for await (const { message } of this.#fitting(options)) {
      if (message === undefined) continue;
      // A topic's own dead letter is published again: it has as many ends as there are subscriptions.
      const follows = this.parts.follows && !message.address.endsWith("/");
      (follows ? letters : published).push(message.handle);
    }
    return replay.run(letters, published);
  }

  /** `looked` counts all letters read so far; `message` is undefined where the letter does not fit. */
  async *#fitting(
    query: DeadLetterQuery,
  ): AsyncIterable<{ looked: number; message: StoredMessage | undefined }> {
    const { address, contract, fingerprint, lookAtMax = lookAtMaxDefault } = query;
    if (!Number.isInteger(lookAtMax) || lookAtMax < 1 || lookAtMax > 1_000_000) {
      throw new WaybillError(
        "OPTION_INVALID",
        `lookAtMax is ${String(lookAtMax)}; give a whole number from 1 to 1,000,000.`,
      );
    }
    let looked = 0;
    for await (const message of this.all(address === undefined ? {} : { address })) {
      if (looked === lookAtMax) return;
      looked += 1;
      const fits =
        (contract === undefined || message.envelope.header.type === contract.name) &&
        (fingerprint === undefined || likenessOf(message.failure).fingerprint === fingerprint);
      yield { looked, message: fits ? message : undefined };
    }
  }
}

interface Gathered extends Likeness {
  count: number;
  readonly addresses: Set<string>;
  readonly contracts: Set<string>;
  firstFailedAt: number;
  lastFailedAt: number;
  readonly sample: StoredMessage;
}

function begin(likeness: Likeness, sample: StoredMessage): Gathered {
  const { firstFailedAt = sample.enqueuedAt, lastFailedAt = sample.enqueuedAt } =
    sample.failure ?? {};
  return {
    ...likeness,
    count: 1,
    addresses: new Set([sample.address]),
    contracts: new Set([sample.envelope.header.type]),
    firstFailedAt,
    lastFailedAt,
    sample,
  };
}

function gather(group: Gathered, { address, envelope, failure }: StoredMessage): void {
  group.count += 1;
  if (group.addresses.size < namesMax) group.addresses.add(address);
  if (group.contracts.size < namesMax) group.contracts.add(envelope.header.type);
  if (failure === undefined) return;
  group.firstFailedAt = Math.min(group.firstFailedAt, failure.firstFailedAt);
  group.lastFailedAt = Math.max(group.lastFailedAt, failure.lastFailedAt);
}
