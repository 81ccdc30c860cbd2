import { embeddedModel } from "./model.fixture.ts";

// The full size is 20,000.
embeddedModel(2_000);
