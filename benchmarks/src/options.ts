import { parseArgs } from "node:util";

export interface Options {
  /** Names of benchmarks; all when empty. */
  readonly only: readonly string[];
  readonly runs: number;
  readonly quick: boolean;
  readonly profile: string | undefined;
  /** Keep this run as what later ones are compared with. */
  readonly baseline: boolean;
  readonly help: boolean;
}

const runsDefault = 5;
const runsMax = 50;

export const usage = `npm run bench -- [options]
  --only NAME     one of the benchmarks, repeatable
  --runs N        measured runs of each, 1 to ${runsMax}; default ${runsDefault}, with --quick 3
  --quick         fewer messages: for a look, not for a figure
  --profile DIR   write a CPU profile of each of our processes
  --baseline      keep the results as what later runs are compared with`;

/** Throws with a sentence for the terminal. */
export function readOptions(args: readonly string[], known: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string", multiple: true, default: [] },
      runs: { type: "string" },
      quick: { type: "boolean", default: false },
      profile: { type: "string" },
      baseline: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const unknown = values.only.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new Error(`--only ${unknown.join(", ")}: the benchmarks are ${known.join(", ")}.`);
  const runs = values.runs === undefined ? (values.quick ? 3 : runsDefault) : Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1 || runs > runsMax)
    throw new Error(`--runs takes a whole number from 1 to ${runsMax}.`);
  return {
    only: values.only,
    runs,
    quick: values.quick,
    profile: values.profile,
    baseline: values.baseline,
    help: values.help,
  };
}
