/** One figure, and what it has to reach. */
export interface Row {
  readonly name: string;
  /** Undefined where it could not be measured; the note says why. */
  readonly value: number | undefined;
  readonly unit: string;
  readonly bar?: Bar;
  readonly note?: string;
}

export type Bar = { readonly atLeast: number } | { readonly atMost: number };

export type Verdict = "met" | "missed" | "";

/** How thoroughly to measure. */
export interface Effort {
  readonly runs: number;
  /** Fewer messages: for a look, not for a figure. */
  readonly quick: boolean;
  /** Folder for CPU profiles of the processes; none when absent. */
  readonly profile: string | undefined;
  /** Tells the person in front of the terminal what is going on. */
  readonly say: (text: string) => void;
}

export interface Benchmark {
  /** For `--only`. */
  readonly name: string;
  run(effort: Effort): Promise<readonly Row[]>;
}

export function verdictOf({ value, bar }: Row): Verdict {
  if (bar === undefined || value === undefined) return "";
  return ("atLeast" in bar ? value >= bar.atLeast : value <= bar.atMost) ? "met" : "missed";
}
