import { embedded } from "@waybill/broker";
import { storeKillWorker } from "@waybill/testkit";
import { postgres } from "./index.ts";

await storeKillWorker({
  transportAt: (directory) => embedded({ directory }),
  storeAt: (url) => postgres({ url, connectionsMax: 8, takeOverAfterMs: 3_000 }),
  write: async (client, text) => {
    await client.query("insert into effect (text) values ($1)", [text]);
  },
});
