import { type Environment, WaybillError } from "@waybill/core";
import type { Channel, ConsumeMessage } from "amqplib";
import { whileOpen } from "../ending.ts";
import { offsetOf, readMessage } from "../message.ts";

export interface RangeParts {
  readonly environment: Environment;
  /** Does something on a channel of its own. */
  readonly channel: <Result>(work: (channel: Channel) => Promise<Result>) => Promise<Result>;
  /** A stream on the same server that holds something: when the server shows that, it has come to what it was asked for before. */
  readonly witness: string;
}

/** What a partition retains. */
export interface Range {
  readonly oldest: number;
  /** The offset that the next item gets. */
  readonly end: number;
}

interface Look {
  readonly queue: string;
  readonly from: "first" | "last" | number;
  readonly prefetch: number;
}

interface Item {
  readonly offset: number;
  readonly takenAt: number;
}

/** More than one read of the server delivers at a time. */
const lastPrefetch = 65_535;
/** Partitions looked at at the same time. */
const looksAtOnce = 8;
/** A partition that has an item shows it about when the witness does, however slow the server is; one that never had any says nothing at all. */
const emptyMs = 300;
const patienceMs = 30_000;

/** What each partition retains now. AMQP has no question for it, so it is read off the items at both ends. */
export async function rangesOf(
  parts: RangeParts,
  queues: readonly string[],
): Promise<readonly Range[]> {
  const ranges: Range[] = [];
  for (let from = 0; from < queues.length; from += looksAtOnce) {
    const some = queues.slice(from, from + looksAtOnce);
    ranges.push(...(await Promise.all(some.map((queue) => rangeOf(parts, queue)))));
  }
  return ranges;
}

async function rangeOf(parts: RangeParts, queue: string): Promise<Range> {
  const [last] = (await look(parts, { queue, from: "last", prefetch: lastPrefetch })).slice(-1);
  if (last === undefined) return { oldest: 0, end: 0 };
  const end = last.offset + 1;
  const [first] = await look(parts, { queue, from: "first", prefetch: 1 });
  return { oldest: first?.offset ?? end, end };
}

/** The first item that was taken in at that moment or later; by halves, so it looks at few. */
export async function offsetAt(
  parts: RangeParts,
  queue: string,
  { moment, oldest, end }: Range & { readonly moment: number },
): Promise<number> {
  let from = oldest;
  let to = end;
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    const [item] = await look(parts, { queue, from: middle, prefetch: 1 });
    // Retention may have moved the beginning meanwhile.
    if (item === undefined || item.takenAt >= moment) to = middle;
    else from = item.offset + 1;
  }
  return from;
}

/** What the server shows at once from there on. */
function look(
  { environment, channel, witness }: RangeParts,
  { queue, from, prefetch }: Look,
): Promise<readonly Item[]> {
  return channel(async (open) => {
    const items: Item[] = [];
    const { promise: began, resolve: begin } = Promise.withResolvers<void>();
    const take = (message: ConsumeMessage | null): void => {
      if (message !== null) items.push(itemOf(message, environment));
      begin();
    };
    await open.prefetch(prefetch);
    // Counted some seconds late: none may mean that the first has just come.
    const { messageCount } = await open.checkQueue(queue);
    await open.consume(queue, take, { arguments: { "x-stream-offset": from } });
    let isEmpty = false;
    let timer = environment.timers.set(begin, patienceMs);
    const testify = (message: ConsumeMessage | null): void => {
      if (message === null || items.length > 0) return;
      timer.cancel();
      timer = environment.timers.set(() => {
        isEmpty = true;
        begin();
      }, emptyMs);
    };
    try {
      if (messageCount === 0) {
        await open.prefetch(1);
        await open.consume(witness, testify, { arguments: { "x-stream-offset": "last" } });
      }
      await whileOpen(open, began);
    } finally {
      timer.cancel();
    }
    if (items.length === 0 && !isEmpty) throw silentError(queue);
    // The server writes what it read at one go before it answers the next question.
    await open.prefetch(prefetch);
    return items;
  });
}

function itemOf(message: ConsumeMessage, { clock }: Environment): Item {
  const { enqueuedAt } = readMessage(message, clock.now());
  return { offset: offsetOf(message), takenAt: enqueuedAt };
}

function silentError(queue: string): WaybillError {
  return new WaybillError("TRANSPORT_FAILED", `RabbitMQ did not show what "${queue}" holds.`, {
    retryable: true,
  });
}
