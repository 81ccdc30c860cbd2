/**
 * Runs one service as a process of its own: `node --conditions=@waybill/source src/run.ts ordering --data DIR`.
 * It ends in order on Ctrl-C, on SIGTERM and when the process that started it is gone.
 */
import { parseArgs } from "node:util";
import { type Bus, type Service, WaybillError, connect, terminated } from "waybill";
import { DataDirectory } from "./database.ts";
import { fillViews } from "./fill.ts";
import { services } from "./services.ts";
import { readSettings } from "./settings.ts";
import { driveVans } from "./shipping/vans.ts";
import { Storefront } from "./storefront/server.ts";
import { storefront } from "./storefront/service.ts";
import { transportOf } from "./transport.ts";

/** What a running service tells who started it. */
export interface Ready {
  readonly ready: true;
  /** Where the storefront answers. */
  readonly url?: string;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string", default: "data" },
    port: { type: "string", default: "0" },
    transport: { type: "string" },
  },
});
const [name = ""] = positionals;

using data = new DataDirectory(values.data);
const orphaned = new AbortController();
process.once("disconnect", () => orphaned.abort()); // whoever started this process is gone
const ending = terminated(orphaned.signal);
const ended = new AbortController();
void ending.then(() => ended.abort());
const own = servicesCalled(name);
await using bus = await connect({
  transport: transportOf({ directory: values.data, transport: values.transport }),
  services: own,
  handlers: { lockMs: 5_000 }, // what a killed process had in hand goes to the next one after five seconds
}).catch(explain);
await fillViews(bus, own, ended.signal);
await using work = await begin(name, bus);
const ready: Ready = { ready: true, ...(work.url !== undefined && { url: work.url }) };
// Where the shop has ended the line meanwhile, nobody needs to know, and `ended` says so.
process.send?.(ready, undefined, undefined, () => undefined);
await ending;

/** What keeps a service from starting is for a person to read: one sentence, no stack. */
function explain(error: unknown): never {
  if (!(error instanceof WaybillError)) throw error;
  console.error(error.message);
  // oxlint-disable-next-line unicorn/no-process-exit -- nothing is open yet, and to throw would show the stack.
  process.exit(1);
}

function servicesCalled(wanted: string): readonly Service[] {
  if (wanted === "storefront") return [storefront];
  const settings = readSettings(process.env);
  for (const [known, open] of Object.entries(services)) {
    if (known === wanted) return [open(data, settings)].flat();
  }
  const names = ["storefront", ...Object.keys(services)].join(", ");
  throw new RangeError(`There is no service "${wanted}". Services: ${names}.`);
}

interface Work extends AsyncDisposable {
  readonly url?: string;
}

/** What a service does besides handling messages. It ends before the bus does. */
async function begin(service: string, connected: Bus): Promise<Work> {
  if (service === "storefront") return Storefront.open(connected, Number(values.port));
  const stopped = new AbortController();
  const driving = service === "shipping" ? driveVans(connected, stopped.signal) : Promise.resolve();
  return {
    [Symbol.asyncDispose]: () => {
      stopped.abort();
      return driving;
    },
  };
}
