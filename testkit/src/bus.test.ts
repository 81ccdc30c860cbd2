import { memory } from "@waybill/core";
import { busSuite } from "./bus-suite.ts";

busSuite("memory", {
  create: () => ({ factory: memory(), dispose: async () => {} }),
  url: "memory:",
});
