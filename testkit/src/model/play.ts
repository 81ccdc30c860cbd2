import { commands } from "./commands.ts";
import type { Choice } from "./compose.ts";
import { type ModelSubject, Run } from "./run.ts";
import { Violation } from "./violation.ts";

/** One command of a script: which, and what it is done with. Plain numbers, so that any generator can make and shrink them. */
export type ModelStep = readonly [command: number, ...choice: Choice];

/** Commands to draw from: a step's first number is below it, its others below `modelChoices`. */
export const modelCommands: number = commands.length;
export const modelChoices = 48;

/**
 * Plays a script on a real broker and on the model, and holds one against the other after each command and in the end: what was
 * delivered when, to whom, in which order, with which attempt; what is where; what settling answered; what is left.
 * Throws an error with the commands so far where the broker cannot be explained.
 */
export async function playModel(
  subject: ModelSubject,
  script: readonly ModelStep[],
): Promise<void> {
  const run = await Run.begin(subject);
  try {
    for (const [which, ...choice] of script) {
      const [name, command] = commands[which % commands.length] ?? [];
      run.step += 1;
      run.trace.push(`${name} (in vain)`);
      const told = await command?.(run, choice);
      if (told === undefined) {
        run.trace.pop();
        continue;
      }
      run.trace[run.trace.length - 1] = told;
      await run.compare();
    }
    run.trace.push("everything left is handled");
    await run.finish();
  } catch (error) {
    throw explained(error, run.trace);
  } finally {
    await run.close();
  }
}

function explained(error: unknown, trace: readonly string[]): Error {
  const words = error instanceof Violation ? error.message : String(error);
  return new Error(`${words}\nafter:\n${trace.map((line) => `  ${line}`).join("\n")}`, {
    cause: error,
  });
}
