import { soakWorker } from "@waybill/testkit";
import { nats } from "./index.ts";

await soakWorker((url) => nats({ url }));
