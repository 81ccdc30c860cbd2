import { busSuite } from "@waybill/testkit";
import { port, subject } from "./corner.test.support.ts";

busSuite("kafka", { create: subject, url: `kafka://127.0.0.1:${port}` });
