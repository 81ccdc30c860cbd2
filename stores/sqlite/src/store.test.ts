import { storeSuite } from "@waybill/testkit";
import { subject } from "./subject.fixture.ts";

storeSuite("sqlite", { create: () => subject() });
