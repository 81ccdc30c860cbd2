import { join } from "node:path";
import { embedded } from "@waybill/broker";
import { storeKillSuite } from "@waybill/testkit";
import { subject } from "./subject.fixture.ts";

storeKillSuite("postgres", {
  create: () => subject(),
  placeOf: ({ url }) => url,
  transportAt: (directory) => embedded({ directory }),
  worker: join(import.meta.dirname, "kills.fixture.ts"),
  // The full size is 1,000.
  kills: Number(process.env["WAYBILL_KILLS"] ?? 20),
  seed: Number(process.env["WAYBILL_SEED"] ?? 20261120),
  mistakes: [],
});
