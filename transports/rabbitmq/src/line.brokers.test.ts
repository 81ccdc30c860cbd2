import { chaosSuite } from "@waybill/testkit";
import { subject } from "./subject.test.support.ts";

chaosSuite("rabbitmq", { create: subject });
