/** What a benchmark and the processes it starts say to each other. */
export type ToActor = { readonly say: "round"; readonly count: number } | { readonly say: "end" };

export type FromActor =
  | { readonly say: "ready" }
  | { readonly say: "begun" }
  | { readonly say: "result"; readonly result: unknown; readonly cpuSeconds: number }
  | { readonly say: "failed"; readonly error: string };
