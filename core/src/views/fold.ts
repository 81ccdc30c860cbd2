import { WaybillError } from "../errors.ts";
import type { Header } from "../envelope.ts";
import type { ViewRow } from "../ports/view-rows.ts";
import { plain } from "../sagas/record.ts";
import type { ViewBinding, ViewSource } from "./definition.ts";
import { type ViewRecord, checkKey, readRow, writeRow } from "./record.ts";

/** What a message does to rows: its handler runs it. */
export interface Folding {
  run(value: unknown): Promise<void>;
}

/** The row that a message is for. Error: MESSAGE_INVALID. */
export function rowKeyOf({ definition, source }: ViewBinding, value: unknown): string {
  return checkKey(definition.name, source.key(value));
}

/** Undefined where order is not by version. Error: MESSAGE_INVALID. */
export function versionOf({ contract, version }: ViewSource, value: unknown): number | undefined {
  if (version === undefined) return undefined;
  const given: unknown = version(value);
  if (Number.isSafeInteger(given)) return given as number;
  throw new WaybillError(
    "MESSAGE_INVALID",
    `The version of "${contract.name}" is a whole number, and this message gives ${typeof given === "number" ? String(given) : typeof given}. Let \`version\` return what its owner counts up with each change.`,
  );
}

/** One message's effect on its row in one generation. Whoever has it loads and stores the row. */
export class Fold {
  readonly key: string;
  readonly #binding: ViewBinding;
  readonly #before: ViewRow | undefined;
  readonly #header: Header | undefined;
  #after: ViewRecord | undefined;

  constructor(
    binding: ViewBinding,
    { key, row, header }: { key: string; row: ViewRow | undefined; header: Header | undefined },
  ) {
    this.key = key;
    this.#binding = binding;
    this.#before = row;
    this.#header = header;
  }

  /** Runs the reducer. "stale": its row has taken something newer, and stays as it is. Errors: what it throws, STATE_INVALID, MESSAGE_INVALID. */
  async run(value: unknown): Promise<"changed" | "stale"> {
    const { definition, source } = this.#binding;
    const version = versionOf(source, value);
    const { state, versions } =
      this.#before === undefined ? empty : await readRow(definition, this.#before);
    const known = Object.hasOwn(versions, source.sequence) ? versions[source.sequence] : undefined;
    if (version !== undefined && known !== undefined && version <= known) return "stale";
    const context = { key: this.key, header: this.#header };
    const next: unknown = await source.reduce(state, value, context);
    this.#after = {
      // Whatever the reducer keeps hold of must not change what is stored.
      state: next === undefined ? undefined : plain(next, `A row of the view "${definition.name}"`),
      versions: version === undefined ? versions : { ...versions, [source.sequence]: version },
    };
    return "changed";
  }

  /** The row that takes the place of the one it began with; undefined: it stays. Errors: MESSAGE_INVALID, BODY_TOO_LARGE. */
  async end(now: number): Promise<ViewRow | undefined> {
    if (this.#after === undefined) return undefined;
    const written = await writeRow(this.#binding.definition, this.key, this.#after);
    return { key: this.key, ...written, changedAt: now };
  }
}

const empty: ViewRecord = { state: undefined, versions: {} };
