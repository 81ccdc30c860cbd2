/** `npm run shop:dead-letters -- list | replay [ORDER …] | discard ORDER …`: what a person does about messages that no retry can help. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { connect, service } from "waybill";
import { type DeadLetter, toDeadLetter } from "./storefront/dead-letters.ts";
import { transportOf } from "./transport.ts";

const usage = `npm run shop:dead-letters -- list | replay [ORDER …] | discard ORDER … [--data DIR]
  list            shows every dead letter
  replay          puts them back where they came from: all, or those of the orders named (the first letters will do)
  discard         deletes those of the orders named, for good
  --data DIR      the shop's data (default: examples/shop/data)
  --transport URL what carries its messages, where it is not the embedded broker`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string" },
    transport: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
const [action = "list", ...orders] = positionals;

process.exitCode = values.help ? explain(0) : await main();

async function main(): Promise<number> {
  if (!["list", "replay", "discard"].includes(action)) return explain(1);
  if (action === "discard" && orders.length === 0) return explain(1);
  const { transport } = values;
  if (transport === undefined && !existsSync(join(directory(), "broker"))) {
    console.error(`There is no shop in ${directory()}. Where is its data? Say --data DIR.`);
    return 1;
  }
  // It handles nothing and says nothing, so it uses nothing; dead letters are the broker's own.
  await using bus = await connect({
    transport: transportOf({ directory: directory(), transport }),
    services: [service("dead-letter-office")],
  });
  const letters: DeadLetter[] = [];
  for await (const stored of bus.deadLetters.all())
    letters.push(toDeadLetter(stored, bus.deadLetters));
  const chosen = letters.filter(isChosen);
  for (const letter of chosen) console.log(describe(letter));
  const handles = chosen.map(({ handle }) => handle);
  if (action === "list") console.log(`${handles.length} dead letters.`);
  if (action === "replay") console.log(`${await bus.deadLetters.replay(handles)} replayed.`);
  if (action === "discard") console.log(`${await bus.deadLetters.discard(handles)} discarded.`);
  return 0;
}

function isChosen({ orderId }: DeadLetter): boolean {
  return orders.length === 0 || orders.some((order) => orderId?.startsWith(order) === true);
}

function describe({ contract, orderId, reason, attempts, failedAt }: DeadLetter): string {
  return `${failedAt ?? ""}  ${contract}  order ${orderId ?? "unknown"}  attempts ${attempts}\n    ${reason}`;
}

function directory(): string {
  if (values.data === undefined) return join(import.meta.dirname, "../data");
  return resolve(process.env["INIT_CWD"] ?? process.cwd(), values.data);
}

function explain(code: number): number {
  console.log(usage);
  return code;
}
