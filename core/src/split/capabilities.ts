import type { Capabilities } from "../ports/transport.ts";

/** What holds on every one of these brokers. */
export function commonOf(all: readonly [Capabilities, ...Capabilities[]]): Capabilities {
  const [first] = all;
  const least = (of: (each: Capabilities) => number): number => Math.min(...all.map(of));
  const most = (of: (each: Capabilities) => number): number => Math.max(...all.map(of));
  const every = (of: (each: Capabilities) => boolean): boolean => all.every(of);
  const some = (of: (each: Capabilities) => boolean): boolean => all.some(of);
  /** The first of the words, weakest first, that one of them says. */
  const weakest = <Word>(of: (each: Capabilities) => Word, words: readonly Word[]): Word =>
    words.find((word) => all.some((each) => of(each) === word)) ?? of(first);
  const shared = <Word>(of: (each: Capabilities) => readonly Word[]): readonly Word[] =>
    of(first).filter((word) => all.every((each) => of(each).includes(word)));
  return {
    durability: weakest(
      ({ durability }) => durability,
      ["memory", "process-crash", "power-loss", "replicated"],
    ),
    order: weakest(({ order }) => order, ["none", "queue"]),
    delayMsMax: least(({ delayMsMax }) => delayMsMax),
    delayStepMs: most(({ delayStepMs }) => delayStepMs),
    lock: weakest(({ lock }) => lock, ["connection", "lease"]),
    sessions: every(({ sessions }) => sessions),
    keyOrder: weakest(({ keyOrder }) => keyOrder, ["none", "single-consumer", "sessions"]),
    sessionStateBytesMax: least(({ sessionStateBytesMax }) => sessionStateBytesMax),
    dedupWindowMs: least(({ dedupWindowMs }) => dedupWindowMs),
    bodyBytesMax: least(({ bodyBytesMax }) => bodyBytesMax),
    filters: shared(({ filters }) => filters),
    ruleActions: every(({ ruleActions }) => ruleActions),
    deadLetters: weakest(({ deadLetters }) => deadLetters, ["core", "transport"]),
    // What leaves over another broker leaves on its own.
    atomicSettle: false,
    atomicBatch: false,
    attemptsPersisted: every(({ attemptsPersisted }) => attemptsPersisted),
    attemptsInPlace: every(({ attemptsInPlace }) => attemptsInPlace),
    releaseCounts: some(({ releaseCounts }) => releaseCounts),
    owners: every(({ owners }) => owners),
    verifies: weakest(({ verifies }) => verifies, [undefined, "all but streams", "everything"]),
    streams: every(({ streams }) => streams),
    forwardHopsMax: least(({ forwardHopsMax }) => forwardHopsMax),
    pause: every(({ pause }) => pause),
    conservation: weakest(({ conservation }) => conservation, ["none", "exact"]),
    seek: every(({ seek }) => seek),
    lists: shared(({ lists }) => lists),
    purges: shared(({ purges }) => purges),
    follows: every(({ follows }) => follows),
    counts: shared(({ counts }) => counts),
  };
}
