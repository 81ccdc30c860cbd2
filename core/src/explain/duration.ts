const units: readonly (readonly [string, number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000],
  ["ms", 1],
];

/** Two units at most: `2 min 8 s`. */
export function duration(ms: number): string {
  let left = Math.round(ms);
  const parts: string[] = [];
  for (const [name, size] of units) {
    if (left < size || parts.length === 2) continue;
    parts.push(`${Math.floor(left / size)} ${name}`);
    left %= size;
  }
  return parts.length === 0 ? "0 ms" : parts.join(" ");
}
