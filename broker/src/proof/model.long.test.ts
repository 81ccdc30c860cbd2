import { embeddedModel } from "./model.fixture.ts";

// What fits into some 40 seconds of two busy cores; the full size is WAYBILL_RUNS=20000.
embeddedModel(400);
