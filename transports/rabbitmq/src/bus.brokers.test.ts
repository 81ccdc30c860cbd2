import { busSuite } from "@waybill/testkit";
import { subject, url } from "./subject.test.support.ts";

busSuite("rabbitmq", { create: subject, url });
