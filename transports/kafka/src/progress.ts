/** How far a group has come in a partition, beyond the one offset that Kafka keeps: it travels as the metadata of that offset. */
export interface Progress {
  /** Everything below is done. */
  readonly base: number;
  /** What is done above it. */
  readonly done: ReadonlySet<number>;
  /** How often what is not done was handed over. */
  readonly deliveries: ReadonlyMap<number, number>;
  /** The seek that brought the group here, or the last before; 0 for none. */
  readonly seek: number;
}

/** A group that begins at that offset. */
export function beginning(base: number, seek = 0): Progress {
  return { base, done: new Set(), deliveries: new Map(), seek };
}

/** Kafka's default bound is 4,096. What does not fit is left out: then a message may come twice after a crash, or one of its deliveries is not counted. */
const textMax = 3_900;
const version = "w1";

/** `w1|0-3,7|0-a*1|2`: runs of offsets relative to the base, first and last in base 36; done, then delivered so many times; the seek. */
export function writeProgress({ base, done, deliveries, seek }: Progress): string {
  const finished = runsOf(done, base, { valueOf: () => true });
  // A run may pass over what is done: that is not counted anyway.
  const counted = runsOf(deliveries.keys(), base, {
    valueOf: (offset) => deliveries.get(offset),
    passesOver: (offset) => done.has(offset),
  });
  let text = `${version}|`;
  let separator = "";
  for (const { first, last } of finished) {
    const run = `${separator}${spanOf(first, last)}`;
    if (text.length + run.length > textMax) break;
    text += run;
    separator = ",";
  }
  text += "|";
  separator = "";
  for (const { first, last, value } of counted) {
    const run = `${separator}${spanOf(first, last)}*${(value as number).toString(36)}`;
    if (text.length + run.length > textMax) break;
    text += run;
    separator = ",";
  }
  if (seek > 0) return `${text}|${seek}`;
  return text === `${version}||` ? "" : text;
}

/** Of what anybody may have written. */
export function readProgress(base: number, text: string | null | undefined): Progress {
  const done = new Set<number>();
  const deliveries = new Map<number, number>();
  const [found, finished = "", counted = "", sought = ""] = (text ?? "").split("|");
  // A commit that others made, such as Kafka's own tool that moves groups, says nothing.
  if (found !== version) return beginning(base);
  const seek = /^\d{1,15}$/.test(sought) ? Number(sought) : 0;
  for (const run of finished.split(","))
    for (const offset of offsetsOf(run)) done.add(base + offset);
  for (const run of counted.split(",")) {
    const [span = "", count = ""] = run.split("*");
    const times = Number.parseInt(count, 36);
    if (!Number.isSafeInteger(times)) continue;
    for (const offset of offsetsOf(span))
      if (!done.has(base + offset)) deliveries.set(base + offset, times);
  }
  return { base, done, deliveries, seek };
}

interface Run<Value> {
  readonly first: number;
  readonly last: number;
  readonly value: Value;
}

interface Telling<Value> {
  readonly valueOf: (offset: number) => Value;
  readonly passesOver?: (offset: number) => boolean;
}

function runsOf<Value>(
  offsets: Iterable<number>,
  base: number,
  { valueOf, passesOver = () => false }: Telling<Value>,
): readonly Run<Value>[] {
  const runs: Run<Value>[] = [];
  for (const offset of [...offsets].toSorted((one, other) => one - other)) {
    const value = valueOf(offset);
    const before = runs.at(-1);
    const [at, isSame] = [offset - base, before?.value === value];
    if (before !== undefined && isSame && joins(before.last + base + 1, offset, passesOver))
      runs[runs.length - 1] = { ...before, last: at };
    else runs.push({ first: at, last: at, value });
  }
  return runs;
}

function joins(from: number, to: number, passesOver: (offset: number) => boolean): boolean {
  for (let offset = from; offset < to; offset++) if (!passesOver(offset)) return false;
  return true;
}

function spanOf(first: number, last: number): string {
  const [from, to] = [first.toString(36), last.toString(36)];
  return first === last ? from : `${from}-${to}`;
}

/** Most offsets that one run is believed to have. */
const runMax = 1_000_000;

function offsetsOf(span: string): readonly number[] {
  const [from = "", to = from] = span.split("-");
  const [first, last] = [Number.parseInt(from, 36), Number.parseInt(to, 36)];
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last)) return [];
  const length = last - first + 1;
  return length < 1 || length > runMax ? [] : Array.from({ length }, (_, index) => first + index);
}
