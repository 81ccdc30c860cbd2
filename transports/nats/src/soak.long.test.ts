import { join } from "node:path";
import { freePort, soakSuite } from "@waybill/testkit";
import { server } from "./server.test.support.ts";

const port = await freePort();

soakSuite("nats", {
  server: server(port),
  url: `nats://127.0.0.1:${port}`,
  worker: join(import.meta.dirname, "soak.fixture.ts"),
  // The full size is 15.
  minutes: Number(process.env["WAYBILL_SOAK_MINUTES"] ?? 1 / 6),
});
