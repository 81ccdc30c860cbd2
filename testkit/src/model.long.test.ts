import { memoryModel } from "./model.fixture.ts";

// The full size is WAYBILL_RUNS=20000.
memoryModel(2_000);
