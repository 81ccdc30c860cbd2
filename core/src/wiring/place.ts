/** The stack's frame `depth` calls up. */
export function placeOutside(depth: number): string {
  const frame = new Error("place").stack?.split("\n")[depth + 1] ?? "";
  return /\(?((?:file:|\/|[A-Za-z]:)[^()]*:\d+:\d+)\)?$/.exec(frame.trim())?.[1] ?? "";
}
