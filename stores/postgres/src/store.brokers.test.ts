import { storeSuite } from "@waybill/testkit";
import { subject } from "./subject.fixture.ts";

storeSuite("postgres", { create: () => subject() });
