import { failureSuite } from "@waybill/testkit";
import { subject } from "./corner.test.support.ts";

// Brokers allow no session below 6 seconds, which every death here waits for; the cases know nothing of each other.
failureSuite("kafka", { create: subject, concurrency: 4 });
