import type { Stream } from "@waybill/contracts";
import { WaybillError } from "../errors.ts";
import type { GroupState, Position, Transport } from "../ports/transport.ts";
import type { Service } from "../service.ts";

/**
 * Where a group shall go on. start: at the oldest item that is retained. end: at what is appended from now on. at: at the first item that was
 * taken in at that moment or later. offsets: partition by partition, the others stay.
 */
export type StreamPosition =
  | "start"
  | "end"
  | { readonly at: Date }
  | { readonly offsets: readonly Position[] };

/** The groups that read the streams of this broker, wherever their services run. */
export class Streams {
  readonly #transport: Pick<Transport, "name" | "capabilities" | "inspection">;

  constructor(transport: Pick<Transport, "name" | "capabilities" | "inspection">) {
    this.#transport = transport;
  }

  /** How far each group has come, by partition: committed, end, lag, oldest. Errors: NOT_FOUND, NOT_SUPPORTED. */
  async groups(stream: Stream): Promise<readonly GroupState[]> {
    const { capabilities, inspection } = this.#transport;
    if (!capabilities.streams) throw this.#unsupported("has no streams");
    return inspection.groups(stream.name);
  }

  /**
   * Puts a group to another place, whether its service runs or not; a service stands for the group that has its name. What is retained from there on is handled
   * again, with attempt 1. Handlers that run on what was read before have their signal aborted, and their result does not count. Dead letters of the
   * group stay as they are. A position that is not retained any more means the oldest item, one beyond the end the end. Answers where the group
   * stands. Errors: NOT_FOUND, OPTION_INVALID, NOT_SUPPORTED.
   */
  async seek(
    stream: Stream,
    group: string | Pick<Service, "name">,
    to: StreamPosition,
  ): Promise<GroupState> {
    const { capabilities, inspection } = this.#transport;
    if (!capabilities.seek) throw this.#unsupported("cannot put a group to another place");
    const name = typeof group === "string" ? group : group.name;
    const target = typeof to === "object" && to !== null && "at" in to ? { at: Number(to.at) } : to;
    return inspection.seek(stream.name, name, target);
  }

  #unsupported(what: string): WaybillError {
    return new WaybillError(
      "NOT_SUPPORTED",
      `${this.#transport.name} ${what}. Choose a transport that can: see docs/transports.md.`,
    );
  }
}
