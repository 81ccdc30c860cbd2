/** `npm start`: opens the shop and keeps it open until Ctrl-C. `npm start -- --help` lists the options. */
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { terminated } from "waybill";
import { Shop, type ShopOptions, portDefault } from "./shop.ts";

const usage = `npm start -- [options]
  --data DIR       where the data is kept (default: examples/shop/data)
  --port N         where the storefront answers (default: ${portDefault}; the next free one when it is taken)
  --transport URL  what carries the messages, such as amqp://guest:guest@127.0.0.1:5672 or nats://127.0.0.1:4222 (default: the embedded broker)
  --fresh          begin with empty data; what lies on a server stays there
  --help           show this`;

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const { values } = parseArgs({
      options: {
        data: { type: "string" },
        port: { type: "string", default: String(portDefault) },
        transport: { type: "string" },
        fresh: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      console.log(usage);
      return 0;
    }
    await run({
      directory: directoryOf(values.data),
      port: portOf(values.port),
      fresh: values.fresh,
      ...(values.transport !== undefined && { transport: values.transport }),
    });
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }
}

async function run(options: ShopOptions): Promise<void> {
  await using shop = new Shop(options);
  const stopped = terminated();
  const opened = shop.open().then(() => {
    console.log(`\nThe shop is open: ${shop.url}   (Ctrl-C closes it)\n`);
    return stopped;
  });
  await Promise.race([opened, stopped]);
  console.log("\nClosing; Ctrl-C again ends everything at once.");
  process.once("SIGINT", () => {
    for (const service of shop.processes) service.kill();
    process.exit(130);
  });
  await shop.close();
  console.log("Closed.");
}

/** npm runs us in the package's folder; a relative path means where the user stands. */
function directoryOf(given: string | undefined): string {
  if (given === undefined) return join(import.meta.dirname, "../data");
  return resolve(process.env["INIT_CWD"] ?? process.cwd(), given);
}

function portOf(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new RangeError(`--port is "${text}"; give a number from 0 to 65535.`);
}
