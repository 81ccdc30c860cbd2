import { jsonCodec } from "@waybill/core";
import { codecSuite } from "./codec-suite.ts";

codecSuite("JSON", {
  codec: jsonCodec,
  carries: { dates: false, bytes: false },
  nested: (levels) => "[".repeat(levels) + "]".repeat(levels),
  prototypeKey: '{"a":[{"\\u005f_proto__":{"admin":true}}]}',
  hostile: [
    { what: "an empty body", body: "", says: /JSON/ },
    {
      what: "text that is not UTF-8",
      body: Uint8Array.of(0x22, 0xff, 0x22),
      says: /^it is not UTF-8$/,
    },
    { what: "a key __proto__", body: '{"__proto__":{}}', says: /^it has a key __proto__$/ },
    {
      what: "an object nested 200,000 deep",
      body: '{"a":'.repeat(200_000),
      says: /^it is nested deeper than 1000 levels$/,
    },
    {
      what: "brackets nested deep behind a string of brackets",
      body: `["${"]".repeat(5_000)}",${"[".repeat(5_000)}`,
      says: /^it is nested deeper/,
    },
    { what: "text after the value", body: "{} {}", says: /JSON/ },
  ],
});
