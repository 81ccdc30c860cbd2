import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failureSuite } from "@waybill/testkit";
import { embedded } from "./index.ts";

failureSuite("embedded", {
  create: async () => {
    const directory = await mkdtemp(join(tmpdir(), "waybill-failures-"));
    return {
      factory: embedded({ directory }),
      dispose: () => rm(directory, { recursive: true, force: true }),
    };
  },
});
