import { join } from "node:path";
import { soakSuite } from "@waybill/testkit";
import { server } from "./server.test.support.ts";

const port = 5_697;

soakSuite("rabbitmq", {
  server: server(port),
  url: `amqp://127.0.0.1:${port}`,
  worker: join(import.meta.dirname, "soak.fixture.ts"),
  // The full size is 15.
  minutes: Number(process.env["WAYBILL_SOAK_MINUTES"] ?? 1 / 6),
});
