import { join } from "node:path";
import { embedded } from "@waybill/broker";
import { storeKillSuite } from "@waybill/testkit";
import { subject } from "./subject.fixture.ts";

storeKillSuite("sqlite", {
  create: () => subject(),
  placeOf: ({ file }) => file,
  transportAt: (directory) => embedded({ directory }),
  worker: join(import.meta.dirname, "kills.fixture.ts"),
  // The full size is 1,000.
  kills: Number(process.env["WAYBILL_KILLS"] ?? 40),
  seed: Number(process.env["WAYBILL_SEED"] ?? 20261120),
});
