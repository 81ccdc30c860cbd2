import { failureSuite } from "@waybill/testkit";
import { subject } from "./corner.test.support.ts";

failureSuite("nats", { create: subject });
