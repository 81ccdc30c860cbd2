import { Actor } from "../actors/actor.ts";
import type { Benchmark, Row } from "../benchmark.ts";
import { temporaryDirectory } from "../directory.ts";
import { median, percentile } from "../statistics.ts";
import type { Paced } from "./pacer.actor.ts";

/** One at a time across two processes. */
export const latency: Benchmark = {
  name: "latency",
  run: async ({ runs, quick, say }) => {
    const count = quick ? 500 : 2_000;
    const sends: (readonly number[])[] = [];
    const asks: (readonly number[])[] = [];
    await using directory = await temporaryDirectory();
    const settings = { directory: directory.path };
    await using echo = await Actor.start<readonly number[]>(
      new URL("echo.actor.ts", import.meta.url),
      settings,
    );
    const pacer = new URL("pacer.actor.ts", import.meta.url);
    await using sender = await Actor.start<Paced>(pacer, { ...settings, verb: "send" });
    await using asker = await Actor.start<Paced>(pacer, { ...settings, verb: "ask" });
    for (let run = 0; run <= runs; run++) {
      // The first one warms the compiler.
      const size = run === 0 ? 200 : count;
      await echo.begin(size);
      await sender.begin(size);
      await sender.result();
      const { result: sent } = await echo.result();
      await asker.begin(size);
      const { result: asked } = await asker.result();
      if (run === 0) continue;
      sends.push(sent);
      asks.push(asked);
      say(`latency, run ${run}: send ${textOf(sent)}, ask ${textOf(asked)}`);
    }
    return [
      ...rowsOf("send → handler, two processes", sends, { p50: 1, p99: 10 }),
      ...rowsOf("ask → answer → back, two processes", asks),
    ];
  },
};

function rowsOf(
  name: string,
  runs: readonly (readonly number[])[],
  bars?: { readonly p50: number; readonly p99: number },
): Row[] {
  const worst = Math.max(...runs.flat());
  return [
    {
      name: `${name}: p50`,
      value: median(runs.map((each) => percentile(each, 0.5))),
      unit: "ms",
      ...(bars && { bar: { atMost: bars.p50 } }),
    },
    {
      name: `${name}: p99`,
      value: median(runs.map((each) => percentile(each, 0.99))),
      unit: "ms",
      ...(bars && { bar: { atMost: bars.p99 } }),
      note: `longest ${worst.toFixed(1)} ms`,
    },
  ];
}

function textOf(values: readonly number[]): string {
  return `p50 ${percentile(values, 0.5).toFixed(2)} ms, p99 ${percentile(values, 0.99).toFixed(2)} ms`;
}
