import { memoryModel } from "./model.fixture.ts";

// The full size is 20,000.
memoryModel(2_000);
