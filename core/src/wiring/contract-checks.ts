import type { Feed, Schema } from "@waybill/contracts";
import { at, doubles, isCount } from "./faults.ts";
import { formerNameFaults } from "./former-names.ts";
import { contractNameFault } from "./names.ts";
import { inputSchema } from "./route.ts";
import type { AnyContract } from "./uses.ts";

const partitionsMax = 256;

/** What is wrong with a contract by itself. */
export function contractFaults(contract: AnyContract): readonly string[] {
  const faults: string[] = [];
  const named = `${contract.kind} "${contract.name}"${at(contract.definedAt)}`;
  const check = (label: string, name: string): void => {
    const fault = contractNameFault(name);
    if (fault !== undefined)
      faults.push(`The ${label} "${name}" of ${named} is not legal: ${fault}.`);
  };
  check("name", contract.name);
  for (const [part, schema] of schemasOf(contract)) {
    if (typeof (schema as Partial<Schema> | undefined)?.["~standard"]?.validate === "function")
      continue;
    faults.push(
      `The ${part} of ${named} is no Standard Schema (a circular import makes it undefined); use zod, valibot, arktype or another one that is.`,
    );
  }
  if (contract.kind === "event" && typeof contract.attributes !== "function")
    faults.push(
      `The attributes of ${named} are no function; write attributes: (payload) => ({ ... }).`,
    );
  if (contract.kind === "stream" && typeof contract.key !== "function")
    faults.push(`The key of ${named} is no function; write key: (item) => item.id.`);
  if ((contract.kind === "command" || contract.kind === "event") && !isKey(contract.key))
    faults.push(`The key of ${named} is no function; write key: (value) => value.id.`);
  if (contract.kind === "command") faults.push(...formerNameFaults(contract, named));
  if (contract.kind === "feed") faults.push(...resumeFaults(contract, named));
  if (contract.kind === "command" && contract.queue !== contract.name)
    check("queue", contract.queue);
  if (contract.kind === "event" && contract.topic !== contract.name) check("topic", contract.topic);
  if ("dedupMs" in contract && !isWindow(contract.dedupMs))
    faults.push(
      `The dedupMs of ${named} is ${String(contract.dedupMs)}; give milliseconds, a whole number from 0.`,
    );
  if (!isCount(contract.version))
    faults.push(
      `The version of ${named} is ${String(contract.version)}; give a whole number from 1.`,
    );
  for (
    let version = 1;
    isCount(contract.version) && version < Math.min(contract.version, 1_000);
    version++
  ) {
    if (typeof contract.upcasters[version] === "function") continue;
    faults.push(
      `The ${named} is at version ${contract.version} and has no upcaster from ${version}; add upcasters: { ${version}: (older) => newer }.`,
    );
  }
  if (
    contract.kind === "stream" &&
    !(isCount(contract.partitions) && contract.partitions <= partitionsMax)
  ) {
    faults.push(
      `The ${named} has ${String(contract.partitions)} partitions; give a whole number from 1 to ${partitionsMax}.`,
    );
  }
  return [...faults, ...retentionFaults(contract, named)];
}

function retentionFaults(contract: AnyContract, named: string): readonly string[] {
  if (contract.kind !== "stream") return [];
  return Object.entries(contract.retention)
    .filter(([, value]) => value !== undefined && !(value > 0))
    .map(
      ([bound, value]) =>
        `The retention.${bound} of ${named} is ${String(value)}; give a number above 0.`,
    );
}

function resumeFaults({ resume, upstream }: Feed, named: string): readonly string[] {
  if (resume === undefined) return [];
  const faults: string[] = [];
  if (typeof (resume as Partial<typeof resume>).of !== "function")
    faults.push(`The resume.of of ${named} is no function; write of: (item) => item.sequence.`);
  if (upstream !== undefined)
    faults.push(
      `The ${named} has both upstream and resume; nobody could say which upstream items a lost server had used. Leave one out.`,
    );
  return faults;
}

/** JavaScript may say anything there. */
function isKey(key: unknown): boolean {
  return key === undefined || typeof key === "function";
}

function schemasOf(contract: AnyContract): readonly (readonly [string, unknown])[] {
  const input = [
    contract.kind === "event" ? "payload" : contract.kind === "stream" ? "item" : "input",
    inputSchema(contract),
  ] as const;
  if (contract.kind === "query") return [input, ["output", contract.output]];
  if (contract.kind !== "feed") return [input];
  return [
    input,
    ["item", contract.item],
    ...(contract.upstream === undefined ? [] : [["upstream", contract.upstream] as const]),
    ...(contract.resume === undefined ? [] : [["resume.cursor", contract.resume.cursor] as const]),
  ];
}

function isWindow(value: unknown): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** Contracts that share a name. */
export function doubleNameFaults(contracts: readonly AnyContract[]): readonly string[] {
  return doubles([...new Set(contracts)], ({ name }) => name).map(
    ([first, second]) =>
      `Two contracts are called "${first.name}": a ${first.kind}${at(first.definedAt)} and a ${second.kind}${at(second.definedAt)}. ` +
      `Give one another name; if both are the same line, its module is loaded twice.`,
  );
}
