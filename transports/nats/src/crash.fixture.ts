import { crashWorker } from "@waybill/testkit";
import { nats } from "./index.ts";

await crashWorker((url) => nats({ url }));
