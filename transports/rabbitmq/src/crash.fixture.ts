import { crashWorker } from "@waybill/testkit";
import { rabbitmq } from "./index.ts";

await crashWorker((url) => rabbitmq({ url }));
