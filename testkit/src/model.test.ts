import { memoryModel } from "./model.fixture.ts";

memoryModel(100);
