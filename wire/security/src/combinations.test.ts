import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { embedded } from "@waybill/broker";
import { messagePackCodec } from "@waybill/codec-messagepack";
import { type Codec, type WireTransform, jsonCodec, memory } from "@waybill/core";
import { wireSuite } from "@waybill/testkit";
import { claimCheck, directoryStore } from "@waybill/wire-claim-check";
import { compression } from "@waybill/wire-compression";
import { encryption, signing } from "./index.ts";
import { secretKey } from "./testing.fixture.ts";

interface Corner {
  readonly directory: string;
  readonly wire: readonly WireTransform[];
}

const compressed = compression({ thresholdBytes: 500 });
const encrypted = (): WireTransform => encryption({ current: secretKey("e1", 1) });
const signed = (): WireTransform => signing({ algorithm: "HS256", current: secretKey("s1", 2) });

/** Every order that makes sense: small before secret, kept aside after that, and the signature over all of it. */
const combinations: Readonly<Record<string, (objects: string) => readonly WireTransform[]>> = {
  "compression and encryption": () => [compressed, encrypted()],
  "compression and a signature": () => [compressed, signed()],
  "a claim check and a signature": (objects) => [checked(objects), signed()],
  "all four": (objects) => [compressed, encrypted(), checked(objects), signed()],
};

function checked(directory: string): WireTransform {
  return claimCheck({ store: directoryStore({ directory }), thresholdBytes: 2_000 });
}

function corner(name: string): Corner {
  const directory = mkdtempSync(join(tmpdir(), "waybill-wire-"));
  return { directory, wire: combinations[name]?.(join(directory, "objects")) ?? [] };
}

const codecs: Readonly<Record<string, Codec>> = { JSON: jsonCodec, MessagePack: messagePackCodec };

for (const name of Object.keys(combinations)) {
  for (const [codecName, codec] of Object.entries(codecs)) {
    for (const transport of ["memory", "embedded"] as const) {
      let here: Corner = corner(name);
      wireSuite(`${name}, ${codecName}, on ${transport}`, {
        codec,
        wire: () => combinations[name]?.(join(here.directory, "objects")) ?? [],
        create: () => {
          rmSync(here.directory, { recursive: true, force: true });
          here = corner(name);
          const { directory } = here;
          return {
            factory: transport === "memory" ? memory() : embedded({ directory }),
            dispose: async () => rmSync(directory, { recursive: true, force: true }),
          };
        },
        detectsChanges: true,
      });
    }
  }
}
