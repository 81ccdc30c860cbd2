import { crashWorker } from "@waybill/testkit";
import { kafka } from "./index.ts";

await crashWorker((url) => kafka({ url, sessionTimeoutMs: 6_000, heartbeatMs: 300 }));
