import { embeddedModel } from "./model.fixture.ts";

embeddedModel(15);
