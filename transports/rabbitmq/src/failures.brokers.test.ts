import { failureSuite } from "@waybill/testkit";
import { subject } from "./subject.test.support.ts";

failureSuite("rabbitmq", { create: subject });
