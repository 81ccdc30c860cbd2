import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { audit } from "./load/audit.ts";
import { ShopClient } from "./load/client.ts";
import { balanceOf, runLoad } from "./load/run.ts";

const main = join(import.meta.dirname, "main.ts");

function start(context: TestContext, directory: string) {
  const child = spawn(
    process.execPath,
    ["--conditions=@waybill/source", main, "--data", directory, "--port", "0"],
    {
      env: { ...process.env, SHOP_DELIVERY_MS: "50" },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const output = { text: "" };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output.text += text));
  }
  const exited = once(child, "exit");
  context.after(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  return { child, output, exited };
}

/** Twelve processes start: seconds, and on a machine that is busy minutes. */
const patienceMs = 120_000;

async function until<Value>(
  what: string,
  look: () => Value | undefined | null | false,
): Promise<Value> {
  for (const endsAt = Date.now() + patienceMs; Date.now() < endsAt;) {
    const found = look();
    if (found !== undefined && found !== null && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`Waited in vain for ${what}.`);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function pidsIn(text: string): number[] {
  return [...text.matchAll(/ pid (\d+)/g)].map(([, pid]) => Number(pid));
}

test("the shop as processes: a killed service comes back, every order ends once, and SIGTERM leaves nothing behind", async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "waybill-shop-test-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const began = performance.now();
  const passed = (what: string): void =>
    context.diagnostic(`${what} after ${Math.round(performance.now() - began)} ms`);
  const { child, output, exited } = start(context, directory);
  const url = await until("the address", () => /open: (\S+)/.exec(output.text)?.[1]);
  assert.equal(pidsIn(output.text).length, 12);
  passed("open");

  let random = 0.1;
  const ordering = Number(/ordering +pid (\d+)/.exec(output.text)?.[1]);
  const accounts = await runLoad({
    url,
    orders: 50,
    customers: 50,
    // Every kind of card comes up, and the book of which there are three.
    random: () => (random = (random * 7.13 + 0.017) % 1),
    onEnd: (ended) => void (ended === 15 && process.kill(ordering, "SIGKILL")),
  });
  assert.match(output.text, /ordering \(pid \d+\) ended with SIGKILL; it starts again/);
  passed("orders ended");
  const balance = balanceOf(accounts);
  assert.equal(balance.accepted, 50);
  assert.ok(balance.balances, JSON.stringify(balance));
  assert.deepEqual(await audit({ directory, transport: undefined }, accounts), []);

  passed("audited");
  const twice = start(context, directory);
  assert.deepEqual(await twice.exited, [1, null]);
  assert.match(twice.output.text, /Another shop runs on/);

  const pids = pidsIn(output.text);
  passed("second start refused");
  child.kill("SIGTERM");
  assert.deepEqual(await exited, [0, null]);
  passed("closed");
  assert.doesNotMatch(output.text, /is killed/);
  assert.deepEqual(pids.filter(isAlive), []);
});

test("a page keeps its connection while the process behind its feed is killed, and sees each state once", async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "waybill-shop-test-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const { child, output, exited } = start(context, directory);
  const url = await until("the address", () => /open: (\S+)/.exec(output.text)?.[1]);
  const [visitor, orderId] = [randomUUID(), randomUUID()];
  const client = new ShopClient(url, visitor);
  await client.call("POST", "/api/basket/lines", { sku: "mug", quantity: 1 });
  for (let lines = 0; lines === 0;) {
    lines = (await client.call<{ lines: unknown[] }>("GET", "/api/basket")).lines.length;
  }
  const buyer = { name: "Ada", region: "EU", tier: "vip" };
  const payment = { card: "silent", payWithinMs: 10_000 };
  await client.call("POST", "/api/orders", { orderId, ...buyer, ...payment });

  const headers = { cookie: `visitor=${visitor}` };
  const { body } = await fetch(`${url}/api/orders/${orderId}/events`, { headers });
  let text = "";
  const states = () => [...text.matchAll(/"state":"(\w+)","reason"/g)].map(([, state]) => state);
  let killed = false;
  for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    if (killed || states().at(-1) !== "reserved") continue;
    killed = process.kill(Number(/ordering +pid (\d+)/.exec(output.text)?.[1]), "SIGKILL");
  }
  assert.ok(killed);
  assert.match(text, /event: end/);
  assert.deepEqual(states().slice(-2), ["reserved", "cancelled"]);
  assert.equal(new Set(states()).size, states().length);
  child.kill("SIGTERM");
  await exited;
});

test("services end by themselves when whoever started them is killed", async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "waybill-shop-test-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const { child, output } = start(context, directory);
  await until("the address", () => /open: (\S+)/.exec(output.text));
  const pids = pidsIn(output.text);
  child.kill("SIGKILL");
  await until("all to end", () => pids.every((pid) => !isAlive(pid)));
});
