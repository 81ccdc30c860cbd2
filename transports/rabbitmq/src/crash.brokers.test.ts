import { crashSuite } from "@waybill/testkit";
import { crashes } from "./server.test.support.ts";

crashSuite("rabbitmq", crashes(Number(process.env["WAYBILL_CRASHES"] ?? 2)));
