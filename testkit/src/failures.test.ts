import { memory } from "@waybill/core";
import { fakeEnvironment } from "./environment.ts";
import { failureSuite } from "./failure-suite.ts";

failureSuite("memory", {
  create: () => {
    const environment = fakeEnvironment();
    return {
      factory: memory(),
      environment,
      pass: (ms) => environment.advance(ms),
      dispose: async () => {},
    };
  },
});
