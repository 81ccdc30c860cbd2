import {
  type AnySchema,
  type Contract,
  type DedupOptions,
  type VersionOptions,
  contractBase,
} from "./contract.ts";
import type { Schema, Validated } from "./schema.ts";

/** One owner acts on it. Sent with `send`, received with `handle`; a queue of the contract's name holds it. */
export interface Command<Name extends string = string, Input = any> extends Contract<
  "command",
  Name
> {
  readonly input: Schema<Input>;
  /** Queue shared with other commands, to keep the order across them. Default: the contract's own name. */
  readonly queue: string;
  /** Names under which it was sent before. */
  readonly formerNames?: readonly string[];
  /** For how long the broker recognises a message that is sent twice, in milliseconds; absent: not at all. */
  readonly dedupMs?: number;
  /** Messages of one key are handled in the order of sending; undefined for no order. */
  readonly key?: (input: Input) => string;
}

export interface CommandOptions<Input extends AnySchema> extends VersionOptions, DedupOptions {
  readonly input: Input;
  /** Queue shared with other commands of the same owner, to keep the order across them. */
  readonly queue?: string;
  /**
   * Names that the command had before, at most 10, each its own queue: what is sent to them by processes that know only the old name, and what waits
   * there, is forwarded to this queue and handled as this command. It stays so on the broker when the name is taken out here.
   */
  readonly formerNames?: readonly string[];
  /**
   * What keeps order: messages of one key are handled one after another, in the order of sending, whoever sends them. Across all instances of the
   * owner where the transport has sessions, else within each. Text of 1 to 256 characters; fixed once messages wait.
   */
  readonly key?: (input: Validated<Input>) => string;
}

/**
 * Declares a command: exactly one service owns it, and one of its instances acts on each message.
 *
 * @example
 * export const PlaceOrder = command("ordering.place-order", { input: Order });
 */
export function command<const Name extends string, Input extends AnySchema>(
  name: Name,
  options: CommandOptions<Input>,
): Command<Name, Validated<Input>> {
  return Object.freeze({
    ...contractBase("command", name, options),
    input: options.input,
    queue: options.queue ?? name,
    ...(options.formerNames !== undefined && { formerNames: options.formerNames }),
    ...(options.dedupMs !== undefined && { dedupMs: options.dedupMs }),
    ...(options.key !== undefined && { key: options.key }),
  });
}
