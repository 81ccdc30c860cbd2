import { soakWorker } from "@waybill/testkit";
import { rabbitmq } from "./index.ts";

await soakWorker((url) => rabbitmq({ url }));
