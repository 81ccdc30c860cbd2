import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import type { Delivery, Envelope, Transport } from "@waybill/core";
import { fakeEnvironment } from "@waybill/testkit";
import { folder, message, open, probe, toQueue, topology, until } from "./fixture.test.support.ts";
import { embedded } from "./index.ts";

/** Every attack has a row in docs/attacks.md under its name. */
const table = readFileSync(join(import.meta.dirname, "../../docs/attacks.md"), "utf8");

function attack(name: string, title: string, run: (context: TestContext) => Promise<void>): void {
  test(`${name}: ${title}`, async (context) => {
    assert.ok(table.includes(`| \`${name}\` |`), `docs/attacks.md has no row for ${name}`);
    await run(context);
  });
}

const q = { kind: "queue", name: "q" } as const;

async function withQueue(
  context: TestContext,
): Promise<{ transport: Transport; directory: string }> {
  const directory = folder(context);
  const transport = await open(context, directory);
  await transport.declare(topology({ queues: [{ name: "q" }] }));
  return { transport, directory };
}

function withHeader(header: Readonly<Record<string, unknown>>): {
  to: typeof q;
  envelope: Envelope;
} {
  const { envelope } = message(q, "body");
  return { to: q, envelope: { ...envelope, header: { ...envelope.header, ...header } } };
}

/** Writes into the file past the broker. */
function tamper(directory: string, statement: string): void {
  const db = new DatabaseSync(join(directory, "waybill.db"), { timeout: 5_000 });
  db.exec(statement);
  db.close();
}

attack(
  "header-size",
  "a huge id, name of an attribute or attribute map is refused to its sender",
  async (context) => {
    const { transport } = await withQueue(context);
    const many = Object.fromEntries(
      Array.from({ length: 10_000 }, (_, index) => [`a${index}`, index]),
    );
    for (const header of [
      { id: "x".repeat(1_000_000) },
      { attributes: many },
      { attributes: { ["x".repeat(70_000)]: 1 } },
      { subject: "ü".repeat(40_000) },
    ])
      await assert.rejects(transport.send([withHeader(header)]), {
        code: "MESSAGE_INVALID",
        message: /longer than 65536 bytes/,
      });
  },
);

attack(
  "header-unwritable",
  "a header that is no JSON is refused to its sender",
  async (context) => {
    const { transport } = await withQueue(context);
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    for (const attributes of [
      circle,
      { a: 1n },
      JSON.parse("[".repeat(50_000) + "]".repeat(50_000)),
    ])
      await assert.rejects(transport.send([withHeader({ attributes })]), {
        code: "MESSAGE_INVALID",
      });
  },
);

attack(
  "header-bytes",
  "line ends, NUL and quotes in a header stay what they are",
  async (context) => {
    const { transport } = await withQueue(context);
    const strange = {
      subject: "a\r\nX-Injected: 1\0",
      source: "'; drop table message; --",
      partitionkey: "\uD800",
    };
    await transport.send([withHeader(strange)]);
    const { deliveries } = probe(transport, q);
    await until("it came", () => deliveries.length === 1);
    const { subject, source, partitionkey } = deliveries[0]?.envelope.header ?? {};
    assert.deepEqual({ subject, source, partitionkey }, strange);
  },
);

attack("body-size", "a body over the bound is refused before it is stored", async (context) => {
  const directory = folder(context);
  const transport = await open(context, directory, { bodyBytesMax: 1_000 });
  await transport.declare(topology({ queues: [{ name: "q" }] }));
  for (const body of ["x".repeat(1_001), "ü".repeat(501), new Uint8Array(1_001)])
    await assert.rejects(transport.send([message(q, body)]), { code: "BODY_TOO_LARGE" });
});

attack(
  "moment",
  "a moment that is none is refused; one in a thousand years is only far away",
  async (context) => {
    const { transport } = await withQueue(context);
    for (const moment of [Number.NaN, Infinity, -Infinity, 1e308])
      await assert.rejects(transport.send([toQueue("q", "x", { notBefore: moment })]), {
        code: "MESSAGE_INVALID",
      });
    await transport.send([toQueue("q", "far", { notBefore: Date.UTC(3026, 0) })]);
    assert.equal((await transport.inspection.list({ state: "scheduled", limit: 10 })).length, 1);
  },
);

attack(
  "address-path",
  "an address that looks like a path is only a name in the file",
  async (context) => {
    const { transport, directory } = await withQueue(context);
    const names = [
      "../../escaped",
      "/etc/passwd",
      "a\0b",
      "q#1",
      "x'); drop table ready; --",
      "C:\\x",
    ];
    await transport.declare(topology({ queues: names.map((name) => ({ name })) }));
    for (const name of names) await transport.send([toQueue(name, name)]);
    for (const name of names) {
      const { deliveries } = probe(transport, { kind: "queue", name });
      await until(name, () => deliveries[0]?.envelope.body === name);
    }
    assert.ok(!existsSync(join(directory, "../../escaped")));
  },
);

attack(
  "lock-token",
  "a delivery with a forged lease or message number settles nothing",
  async (context) => {
    const { transport } = await withQueue(context);
    await transport.send([toQueue("q", "1"), toQueue("q", "2")]);
    const { deliveries } = probe(transport, q);
    await until("both", () => deliveries.length === 2);
    const [first, second] = deliveries as unknown as { seq: number; lease: number }[];
    assert.ok(first !== undefined && second !== undefined);
    const own = first.lease;
    Object.assign(first, { lease: own + 1 });
    assert.equal(await (first as unknown as Delivery).settle({ kind: "complete" }), "lockLost");
    Object.assign(second, { seq: first.seq + 1_000 });
    assert.equal(await (second as unknown as Delivery).settle({ kind: "complete" }), "lockLost");
    assert.equal((await transport.inspection.list({ state: "inFlight", limit: 10 })).length, 2);
  },
);

attack("handle", "a forged handle moves nothing, and a forged page is refused", async (context) => {
  const { transport } = await withQueue(context);
  await transport.send([toQueue("q", "ready")]);
  const forged = ["999999", "-1", "1e3", "0x1", "1 or 1=1", "", "9".repeat(30), "__proto__"];
  assert.equal(await transport.inspection.replay(forged), 0);
  assert.equal(await transport.inspection.discard(forged), 0);
  await assert.rejects(transport.inspection.list({ state: "dead", after: "x", limit: 1 }), {
    code: "OPTION_INVALID",
  });
});

attack(
  "stored-length",
  "a stored length of a gigabyte is bookkeeping only: the message comes, and the next one too",
  async (context) => {
    const { transport, directory } = await withQueue(context);
    await transport.send([toQueue("q", "1"), toQueue("q", "2")]);
    tamper(directory, "update ready set bytes = 1073741824");
    const came = probe(transport, q, {
      onDelivery: (delivery) => void delivery.settle({ kind: "complete" }),
    });
    await until("both", () => came.deliveries.length === 2);
  },
);

attack(
  "stored-row",
  "a stored header that cannot be read is STORAGE_INVALID and not a crash",
  async (context) => {
    for (const header of ["{", "null", "[]", "5", "{}", '{"id":5,"type":"x"}']) {
      const { transport, directory } = await withQueue(context);
      await transport.send([toQueue("q", "1")]);
      tamper(directory, `update message set header = '${header}'`);
      const { faults } = probe(transport, q);
      await until(`the fault of ${header}`, () =>
        faults.some(({ code }) => code === "STORAGE_INVALID"),
      );
      await assert.rejects(transport.inspection.list({ state: "ready", limit: 10 }), {
        code: "STORAGE_INVALID",
      });
    }
  },
);

attack(
  "directory-file",
  "a directory that is a file is refused, and the file left as it is",
  async (context) => {
    const file = join(folder(context), "precious");
    writeFileSync(file, "precious");
    await assert.rejects(open(context, file), {
      code: "STORAGE_FAILED",
      message: /Check the disk and the permissions/,
    });
    assert.equal(readFileSync(file, "utf8"), "precious");
  },
);

attack(
  "directory-readonly",
  "a directory that cannot be written to is refused",
  async (context) => {
    // Also root cannot write there.
    await assert.rejects(open(context, "/proc/waybill"), { code: "STORAGE_FAILED" });
  },
);

attack(
  "directory-link",
  "a directory that is a link is the directory that it points to",
  async (context) => {
    const { transport, directory } = await withQueue(context);
    const link = join(folder(context), "link");
    symlinkSync(directory, link);
    const other = await open(context, link);
    await other.send([toQueue("q", "through the link")]);
    const came = probe(transport, q);
    await until("it came", () => came.bodies().includes("through the link"));
  },
);

attack(
  "foreign-file",
  "a database of somebody else is refused and left untouched",
  async (context) => {
    const directory = folder(context);
    const file = join(directory, "waybill.db");
    for (const content of ["not a database at all", "SQLite format 3\0".padEnd(4096, "\0")]) {
      writeFileSync(file, content);
      await assert.rejects(open(context, directory), {
        code: "STORAGE_INVALID",
        message: /left untouched/,
      });
      assert.equal(readFileSync(file, "latin1"), content);
      assert.deepEqual(readdirSync(directory), ["waybill.db"]);
    }
  },
);

attack(
  "bell-link",
  "a link in the place of the bell or the turns is refused, and its target left untouched",
  async (context) => {
    for (const name of ["waybill.bell", "waybill.turn"]) {
      const directory = folder(context);
      const precious = join(folder(context), "precious");
      writeFileSync(precious, "precious");
      symlinkSync(precious, join(directory, name));
      await assert.rejects(open(context, directory), {
        code: "STORAGE_INVALID",
        message: /symbolic link/,
      });
      assert.equal(readFileSync(precious, "utf8"), "precious");
      assert.ok(lstatSync(join(directory, name)).isSymbolicLink());
    }
  },
);

attack(
  "file-swapped",
  "a file that is replaced under a running process is reported within seconds",
  async (context) => {
    const directory = folder(context);
    const environment = fakeEnvironment();
    const transport = await embedded({ directory }).open({
      environment,
      logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
      instance: "swapped",
      unrouted: () => {},
    });
    const declared = transport.declare(topology({ queues: [{ name: "q" }] }));
    await environment.drain();
    await declared;
    const { faults } = probe(transport, q);
    mkdirSync(join(directory, "old"));
    renameSync(join(directory, "waybill.db"), join(directory, "old/waybill.db"));
    await environment.advance(2_500);
    assert.ok(
      faults.some(
        ({ code, message: text }) =>
          code === "STORAGE_INVALID" && text.includes("removed or replaced"),
      ),
    );
    renameSync(join(directory, "old/waybill.db"), join(directory, "waybill.db"));
    const closed = transport[Symbol.asyncDispose]();
    await environment.drain();
    await closed;
  },
);
