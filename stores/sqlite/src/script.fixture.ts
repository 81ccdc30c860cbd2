/** A script without handlers: `script.fixture.ts <file>` writes and sends in one transaction, and ends. */
import { once } from "node:events";
import { type Schema, event } from "@waybill/contracts";
import { connect, memory, service } from "@waybill/core";
import { sqlite } from "./index.ts";

const text: Schema<string> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as string }) },
};
const Done = event("script.done", { payload: text });
const store = sqlite({ file: process.argv[2] ?? "" });

await using bus = await connect({
  transport: memory(),
  services: [service("script", { publishes: [Done], store })],
});
process.send?.("open");
await once(process, "message");
process.disconnect();
await bus.transaction(store, async ({ client, publish }) => {
  client.prepare("insert into effect (text) values (?)").run("written");
  await publish(Done, "written");
});
