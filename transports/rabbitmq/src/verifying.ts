import {
  type Discrepancy,
  type Topology,
  type WaybillError,
  refuseDiscrepancies,
} from "@waybill/core";
import type { Channel } from "amqplib";
import { singleAlready } from "./declare.ts";
import { ended } from "./ending.ts";
import { brokerError } from "./errors.ts";
import { Plan } from "./plan.ts";
import type { Names } from "./topology.ts";

export interface VerifyParts {
  readonly names: Names;
  /** Opens a channel: what the broker refuses ends it. */
  readonly open: () => Promise<Channel>;
  /** Told of a queue that one consumer at a time has, though this topology does not ask for it. */
  readonly single: (queue: string) => void;
}

/** The plan of a topology, which stands on the server. Throws WIRING_INVALID with what does not. */
export async function verified(topology: Topology, parts: VerifyParts): Promise<Plan> {
  const plan = await Plan.of(topology, parts.names);
  refuseDiscrepancies("rabbitmq", await lackingOf(plan, parts));
  return plan;
}

/**
 * What is missing of a plan, or otherwise. AMQP tells whether a queue or an exchange is there; its arguments only by declaring it the same once more, which
 * changes nothing and takes the right to configure: without it they are taken for right. It does not tell bindings.
 */
async function lackingOf(plan: Plan, parts: VerifyParts): Promise<readonly Discrepancy[]> {
  const check = new Check(parts);
  try {
    for (const [name, options] of plan.queues) {
      // Without the one what is released counts, without the other nobody sees all addresses; nothing else depends on them.
      if (name === parts.names.released || name === parts.names.registry) continue;
      await check.look(`queue "${name}"`, parts.names.addressOf(name), {
        exists: (channel) => channel.checkQueue(name),
        same: (channel) => channel.assertQueue(name, options),
        single: () => parts.single(name),
      });
    }
    for (const [name, { type, options }] of plan.exchanges)
      await check.look(`exchange "${name}"`, `${parts.names.addressOf(name)}/`, {
        exists: (channel) => channel.checkExchange(name),
        same: (channel) => channel.assertExchange(name, type, options),
      });
    return check.found;
  } finally {
    await check.end();
  }
}

interface Looks {
  readonly exists: (channel: Channel) => Promise<unknown>;
  readonly same: (channel: Channel) => Promise<unknown>;
  readonly single?: () => void;
}

class Check {
  readonly found: Discrepancy[] = [];
  readonly #parts: VerifyParts;
  #channel: Channel | undefined;
  /** The user may declare, so that arguments can be held against the plan. */
  #mayDeclare = true;

  constructor(parts: VerifyParts) {
    this.#parts = parts;
  }

  async look(what: string, address: string, { exists, same, single }: Looks): Promise<void> {
    const absent = await this.#try(exists, "NOT_FOUND");
    if (absent !== undefined) {
      const message = `The ${what} is missing. Import the definitions, or create it.`;
      return void this.found.push({ address, fault: "missing", message });
    }
    if (!this.#mayDeclare) return;
    const other = await this.#try(same, "WIRING_INVALID", "UNAUTHORISED");
    if (other?.code === "UNAUTHORISED") this.#mayDeclare = false;
    else if (other !== undefined && singleAlready(other) !== undefined) single?.();
    else if (other !== undefined)
      this.found.push({ address, fault: "different", message: `The ${what}: ${other.message}` });
  }

  async end(): Promise<void> {
    if (this.#channel !== undefined) await ended(this.#channel);
  }

  /** Answers the refusal when it is one of these. */
  async #try(
    work: Looks["exists"],
    ...codes: readonly WaybillError["code"][]
  ): Promise<WaybillError | undefined> {
    this.#channel ??= await this.#open();
    try {
      await work(this.#channel);
      return undefined;
    } catch (thrown) {
      this.#channel = undefined;
      const error = brokerError("Checking", thrown);
      if (codes.includes(error.code)) return error;
      throw error;
    }
  }

  async #open(): Promise<Channel> {
    const channel = await this.#parts.open();
    channel.on("error", () => undefined);
    return channel;
  }
}
