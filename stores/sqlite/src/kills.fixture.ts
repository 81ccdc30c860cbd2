import { storeKillWorker } from "@waybill/testkit";
import { embedded } from "@waybill/broker";
import { sqlite } from "./index.ts";

await storeKillWorker({
  transportAt: (directory) => embedded({ directory }),
  storeAt: (file) => sqlite({ file, takeOverAfterMs: 3_000 }),
  write: (client, text) => void client.prepare("insert into effect (text) values (?)").run(text),
});
