import { type SagaDefinition, isFinal } from "./definition.ts";

/** Words that mean something else to Mermaid. */
const reserved: ReadonlySet<string> = new Set([
  "as",
  "class",
  "direction",
  "end",
  "note",
  "scale",
  "state",
  "style",
]);
const simple = /^[A-Za-z][A-Za-z0-9_]*$/;

/** The phases and transitions of a saga, as a Mermaid state diagram. */
export function diagramOf(definition: SagaDefinition): string {
  const { phases, steps } = definition;
  const ids = new Map(phases.map((phase, index) => [phase, idOf(phase, index)]));
  const lines: string[] = [];
  for (const [phase, id] of ids) if (id !== phase) lines.push(`state "${phase}" as ${id}`);
  for (const { trigger, timeout, transitions } of steps) {
    const label = timeout === undefined ? trigger.name : `timeout ${timeout}`;
    for (const { from = [start], to } of transitions)
      for (const source of from)
        for (const target of to)
          lines.push(`${ids.get(source) ?? source} --> ${ids.get(target) ?? target} : ${label}`);
  }
  for (const [phase, id] of ids) if (isFinal(definition, phase)) lines.push(`${id} --> ${start}`);
  return ["stateDiagram-v2", ...new Set(lines.map((line) => `  ${line}`))].join("\n");
}

const start = "[*]";

function idOf(phase: string, index: number): string {
  return simple.test(phase) && !reserved.has(phase.toLowerCase()) ? phase : `phase_${index + 1}`;
}
