import { failureSuite } from "@waybill/testkit";
import { subject } from "./corner.test.support.ts";

failureSuite("kafka", { create: subject });
