import { memory } from "@waybill/core";
import { fakeEnvironment } from "./environment.ts";
import { transportSuite } from "./transport-suite.ts";

transportSuite("memory", {
  concurrency: 8,
  create: () => ({ factory: memory(), dispose: async () => {} }),
});

transportSuite("memory on a fake clock", {
  publish: false,
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
