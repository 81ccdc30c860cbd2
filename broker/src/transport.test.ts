import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { transportSuite } from "@waybill/testkit";
import { embedded } from "./index.ts";

transportSuite("embedded", {
  create: () => {
    const directory = mkdtempSync(join(tmpdir(), "waybill-"));
    return {
      factory: embedded({ directory }),
      dispose: async () => rmSync(directory, { recursive: true }),
    };
  },
});
