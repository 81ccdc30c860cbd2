import { chaosSuite } from "@waybill/testkit";
import { subject } from "./corner.test.support.ts";

chaosSuite("nats", { create: subject });
