import { busSuite } from "@waybill/testkit";
import { port, subject } from "./corner.test.support.ts";

busSuite("nats", { create: subject, url: `nats://127.0.0.1:${port}` });
