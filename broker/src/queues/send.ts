import { WaybillError } from "@waybill/core";
import { evictUnrouted, route } from "./arrivals.ts";
import type { Encoded } from "../storage/codec.ts";
import { appendItem } from "../streams/log.ts";
import { Refusal, type Transaction } from "../storage/transaction.ts";
import type { Operation } from "../storage/writer.ts";

/** An operation of `send`: all of the batch or nothing. */
export class SendOperation implements Operation {
  readonly weight: number;
  readonly bytes: number;
  readonly #batch: readonly Encoded[];
  readonly #limits: SendLimits;
  readonly #resolve: () => void;
  readonly #reject: (error: WaybillError) => void;

  constructor(batch: readonly Encoded[], limits: SendLimits, answer: SendAnswer) {
    this.#batch = batch;
    this.#limits = limits;
    this.#resolve = answer.resolve;
    this.#reject = answer.reject;
    this.weight = Math.max(1, batch.length);
    let bytes = 0;
    for (const message of batch) bytes += message.bytes + message.header.length;
    this.bytes = bytes;
  }

  run(transaction: Transaction): void {
    refuseUnroutable(transaction, this.#batch);
    this.#limits.refuseWhenFull();
    store(transaction, this.#batch);
  }

  done(): void {
    this.#resolve();
  }

  failed(error: WaybillError): void {
    this.#reject(error);
  }
}

export interface SendAnswer {
  readonly resolve: () => void;
  readonly reject: (error: WaybillError) => void;
}

export interface SendLimits {
  /** Throws Refusal with STORAGE_FULL when the quota is used up. */
  refuseWhenFull(): void;
}

/** Throws Refusal with UNROUTABLE naming the first destination that does not exist. Changes nothing. */
export function refuseUnroutable({ addresses }: Transaction, batch: readonly Encoded[]): void {
  for (const { outgoing } of batch) {
    const { kind, name } = outgoing.to;
    const known =
      kind === "queue"
        ? addresses.find(kind, name)
        : kind === "topic"
          ? addresses.topic(name)
          : addresses.stream(name);
    if (known !== undefined) continue;
    throw new Refusal(
      new WaybillError(
        "UNROUTABLE",
        `There is no ${kind} "${name}" on the broker, so nothing of the batch was sent. Start the service that owns it once, or declare it.`,
        { retryable: true, details: { kind, name } },
      ),
    );
  }
}

/** Stores what `refuseUnroutable` has let through; notes in the transaction what is a duplicate and what no subscription names by type. */
export function store(transaction: Transaction, batch: readonly Encoded[]): void {
  for (const message of batch) {
    const { kind, name } = message.outgoing.to;
    if (kind === "stream") appendItem(transaction, name, message);
    else route(transaction, message);
  }
  evictUnrouted(transaction);
}
