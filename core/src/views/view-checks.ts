import { WaybillError } from "../errors.ts";
import type { Service } from "../service.ts";
import { at, described, doubles, shown } from "../wiring/faults.ts";
import { orderingKey } from "../wiring/key.ts";
import { serviceNameFault } from "../wiring/names.ts";
import type { Uses } from "../wiring/uses.ts";
import type { ViewContract, ViewDefinition, ViewSource } from "./definition.ts";

/** What is wrong with a service that is a view, each a sentence with its place. */
export function viewFaults(service: Service): readonly string[] {
  const { view: definition, uses } = service;
  if (definition === undefined) return [];
  const { name, place, state, sources } = definition;
  const named = `view "${name}"${at(place)}`;
  const faults: string[] = [];
  if ((uses as Uses).store === undefined)
    faults.push(`The ${named} has no store. Give it one: store: sqlite({ file }).`);
  // JavaScript may give anything.
  const validate: unknown = (state as Partial<ViewDefinition["state"]> | undefined)?.["~standard"]
    ?.validate;
  if (typeof validate !== "function")
    faults.push(
      `The state of the ${named} is no Standard Schema; use zod, valibot, arktype or another one that is.`,
    );
  if (sources.length === 0)
    faults.push(`Nothing keeps the ${named}. Bind what does: on(event, …) or consume(stream, …).`);
  for (const source of sources) faults.push(...sourceFaults(name, source));
  return [...faults, ...backfillFaults(definition)];
}

/** Throws WIRING_INVALID with all faults of a view at once, as `connect` does. */
export function checkView(service: Service): void {
  const faults = viewFaults(service);
  if (faults.length === 0) return;
  const list = faults.map((fault) => `  - ${fault}`).join("\n");
  throw new WaybillError("WIRING_INVALID", `The view does not fit together:\n${list}`, {
    details: { faults },
  });
}

function sourceFaults(name: string, source: ViewSource): string[] {
  const { contract, key, version, sequence, commutes, place } = source;
  const where = `${bound(contract)} of the view "${name}"${at(place)}`;
  const faults: string[] = [];
  if (typeof key !== "function")
    faults.push(
      `${where} has no \`key\`; write key: (value) => value.id, which gives the key of the row.`,
    );
  if (version !== undefined && typeof version !== "function")
    faults.push(`The version of ${where} is no function; write version: (value) => value.version.`);
  if (typeof commutes !== "boolean")
    faults.push(`commutes of ${where} is ${shown(commutes)}; give true or false.`);
  const named = (contract as ViewContract | undefined)?.name === sequence;
  const fault = named ? undefined : serviceNameFault(sequence);
  if (fault !== undefined)
    faults.push(`The sequence ${shown(sequence)} of ${where} is not legal: ${fault}.`);
  if (!named && version === undefined)
    faults.push(
      `${where} names a sequence and has no version. Add it: version: (value) => value.version.`,
    );
  if (typeof source.reduce !== "function") faults.push(`${where} has no reducer function.`);
  if (version === undefined && !commutes && !isOrdered(source))
    faults.push(
      `${where} has no order: an older message could come last and stay. Give the messages a version: (value) => value.version, ${orderRemedy(contract)}, or say commutes: true where the order does not matter.`,
    );
  return faults;
}

/** The messages of a row come one after another, in their order. */
function isOrdered({ contract, isRekeyed }: ViewSource): boolean {
  if ((contract as ViewContract | undefined)?.kind === "stream") return !isRekeyed;
  return contract !== undefined && orderingKey(contract) !== undefined;
}

function orderRemedy(contract: ViewContract): string {
  return (contract as ViewContract | undefined)?.kind === "stream"
    ? "leave out the key of the view's own"
    : "give the event a key";
}

function backfillFaults({ name, backfill, sources }: ViewDefinition): string[] {
  if (backfill === undefined) return [];
  const { contracts, run, place } = backfill;
  const where = `backfill() of the view "${name}"${at(place)}`;
  if (!Array.isArray(contracts) || contracts.length === 0)
    return [`${where} names no contracts; write backfill([ProductChanged], async function* …).`];
  const faults: string[] = [];
  if (typeof run !== "function") faults.push(`${where} has no generator function.`);
  for (const [first] of doubles(contracts as readonly ViewContract[], (each) => each.name))
    faults.push(`${where} names ${described(first)} twice. Remove one.`);
  for (const contract of contracts as readonly ViewContract[]) {
    const source = sources.find((each) => each.contract === contract);
    if (source === undefined)
      faults.push(
        `${where} names ${described(contract)}, which does not keep the view. Bind it first.`,
      );
    else if (source.version === undefined)
      faults.push(
        `${where} names ${described(contract)}, which has no version: what comes meanwhile could be written over by what is older. Give it one: version: (value) => value.version.`,
      );
  }
  return faults;
}

function bound(contract: ViewContract): string {
  const verb = (contract as ViewContract | undefined)?.kind === "stream" ? "consume" : "on";
  return `${verb}() of ${described(contract)}`;
}
