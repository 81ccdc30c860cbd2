import type { PlantedBug } from "./bug.fixture.ts";
import { embeddedBugs } from "./embedded.fixture.ts";
import { inMemoryBugs } from "./in-memory.fixture.ts";

/** Of the in-memory broker and of the embedded one, each planted alone. At least nine of ten must be caught. */
export const plantedBugs: readonly PlantedBug[] = [...inMemoryBugs, ...embeddedBugs];
