import { crashSuite } from "@waybill/testkit";
import { crashes } from "./server.test.support.ts";

crashSuite("kafka", crashes(Number(process.env["WAYBILL_CRASHES"] ?? 1)));
