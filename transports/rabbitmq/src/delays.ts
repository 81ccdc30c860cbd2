import type { Making } from "./making.ts";
import { type Names, type Target, type Way, expiringInto, quorum } from "./topology.ts";

/** The smallest delay and the step to which delays are rounded up, in milliseconds. */
export const delayStepMs = 100;
const levels = 28;
/** 2^28 − 1 steps: 310 days. */
export const delayMsMax: number = (2 ** levels - 1) * delayStepMs;

/**
 * Delays without a plugin, after the design of NServiceBus (https://docs.particular.net/transports/rabbitmq/delayed-delivery): a queue for each binary digit of the
 * delay, in which all messages wait equally long, so that none waits behind a longer one. A message enters at the highest digit of its delay and
 * falls from level to level by expiry and dead-lettering; its routing key holds the digits, and behind them where it goes.
 * The queues are made when the first delay needs them.
 */
export class Delays {
  readonly #names: Names;
  /** The highest level that was made; -1 for none. */
  #made = -1;
  readonly #bound = new Set<string>();
  #isGiven = false;
  #making: Promise<unknown> = Promise.resolve();

  constructor(names: Names) {
    this.#names = names;
  }

  /** Exchange and routing key by which a message reaches the target `delayMs` from now, or up to a step later. */
  way(delayMs: number, { key }: Target): Way {
    const digits = stepsOf(delayMs).toString(2).padStart(levels, "0");
    return {
      exchange: this.#names.delay(levels - 1 - digits.indexOf("1")),
      key: `${digits.split("").join(".")}.${key}`,
    };
  }

  /** Makes what the way of such a delay needs, once. */
  prepare(channel: Making, delayMs: number, target: Target): Promise<void> {
    // One after another: two that begin together would make the same things twice.
    const made = this.#making.then(() => this.#prepare(channel, delayMs, target));
    this.#making = made.catch(() => undefined);
    return made;
  }

  /** All of it is there, and the ways to these targets; nothing but a way to something else is made. */
  assume(keys: Iterable<string>): void {
    this.#isGiven = true;
    this.#made = levels - 1;
    for (const key of keys) this.#bound.add(key);
  }

  /** After a reconnect: somebody may have deleted what was made. */
  forget(): void {
    if (this.#isGiven) return;
    this.#made = -1;
    this.#bound.clear();
  }

  async #prepare(channel: Making, delayMs: number, target: Target): Promise<void> {
    const highest = Math.floor(Math.log2(stepsOf(delayMs)));
    if (this.#made < 0) await this.#makeDue(channel);
    for (let level = this.#made + 1; level <= highest; level++) {
      await this.#makeLevel(channel, level);
      this.#made = level;
    }
    await this.bind(channel, target);
  }

  /** Leads to the target what falls due for it, once. */
  async bind(channel: Making, target: Target): Promise<void> {
    if (this.#bound.has(target.key)) return;
    const pattern = `${"*.".repeat(levels)}${target.key}`;
    if (target.kind === "queue") await channel.bindQueue(target.name, this.#names.due, pattern);
    else await channel.bindExchange(target.name, this.#names.due, pattern);
    this.#bound.add(target.key);
  }

  async #makeDue(channel: Making): Promise<void> {
    const { due, lost } = this.#names;
    await channel.assertExchange(lost, "fanout", { durable: true });
    await channel.assertQueue(lost, { durable: true, arguments: quorum });
    await channel.bindQueue(lost, lost, "");
    await channel.assertExchange(due, "topic", { durable: true, alternateExchange: lost });
  }

  /** Digit 1 waits in the level's queue, digit 0 passes by; both go on to the next lower level. */
  async #makeLevel(channel: Making, level: number): Promise<void> {
    const name = this.#names.delay(level);
    const next = level === 0 ? this.#names.due : this.#names.delay(level - 1);
    const before = "*.".repeat(levels - 1 - level);
    await channel.assertExchange(name, "topic", { durable: true });
    await channel.assertQueue(name, {
      durable: true,
      arguments: { ...expiringInto(next), "x-message-ttl": 2 ** level * delayStepMs },
    });
    await channel.bindQueue(name, name, `${before}1.#`);
    await channel.bindExchange(next, name, `${before}0.#`);
  }
}

function stepsOf(delayMs: number): number {
  return Math.max(1, Math.ceil(delayMs / delayStepMs));
}
