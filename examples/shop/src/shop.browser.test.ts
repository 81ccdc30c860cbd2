import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { type Browser, type Locator, type Page, chromium } from "playwright-core";
import { Shop } from "./shop.ts";

const screenshot = join(import.meta.dirname, "../../../docs/images/shop.png");
const directory = mkdtempSync(join(tmpdir(), "waybill-shop-browser-"));
const env = { SHOP_DECLINES: "0", SHOP_ERRORS: "0.2", SHOP_DELIVERY_MS: "1000" };

let shop: Shop;
let browser: Browser;
let page: Page;
let complaints: string[];

before(async () => {
  shop = new Shop({ directory, port: 0, env, log: () => undefined });
  await shop.open();
  browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
});

after(async () => {
  await browser?.close();
  await shop?.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Each test is a visitor of its own. */
beforeEach(async () => {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 1000 },
    reducedMotion: "reduce",
  });
  page = await context.newPage();
  page.setDefaultTimeout(20_000);
  complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on(
    "console",
    (message) => void (message.type() === "error" && complaints.push(message.text())),
  );
  await page.goto(shop.url);
});

afterEach(async () => {
  await page.context().close();
  assert.deepEqual(complaints, []);
});

async function put(product: string): Promise<void> {
  await page.getByRole("button", { name: `Add ${product} to the basket` }).click();
  await page.locator("#basket-lines li", { hasText: product }).waitFor();
}

/** Answers the newest order's place on the page. */
async function checkOut(card: string): Promise<Locator> {
  const known = await page.locator("[data-order]").count();
  await page.locator("select[name=card]").selectOption(card);
  await page.getByRole("button", { name: "Place order" }).click();
  await page.locator("[data-order]").nth(known).waitFor();
  const id = await page.locator("[data-order]").first().getAttribute("data-order");
  return page.locator(`[data-order="${id}"]`);
}

function until(order: Locator, state: string): Promise<void> {
  return order.and(page.locator(`[data-state="${state}"]`)).waitFor();
}

/** For the documents: UPDATE_SCREENSHOTS=1 npm run test:browser. */
async function takeScreenshot(): Promise<void> {
  await page.locator("#notice").evaluate((notice) => notice.setAttribute("hidden", ""));
  await page.evaluate("scrollTo(0, 0)");
  mkdirSync(dirname(screenshot), { recursive: true });
  await page.screenshot({ path: screenshot, fullPage: true });
}

test("a person browses, orders and watches the order move by itself until it is completed", async () => {
  await put("Enamel mug");
  await put("Walking boots");
  await page.getByRole("button", { name: "One more Enamel mug" }).click();
  await page.locator("#basket-total", { hasText: "€214.00" }).waitFor();
  await page.getByLabel("VIP member").check();

  const order = await checkOut("good");
  await until(order, "shipped");
  await until(order, "completed");
  assert.match(
    await order.innerText(),
    /1 × Walking boots, 2 × Enamel mug|2 × Enamel mug, 1 × Walking boots/,
  );
  await page.locator("#basket-empty").waitFor();
  await page.locator("#notifications", { hasText: "vip-desk" }).waitFor();

  await page.reload();
  await until(page.locator("[data-order]"), "completed");
});

test("a poisoned payment shows among the dead letters, and a click replays it", async () => {
  await put("Brass compass");
  await until(await checkOut("good"), "completed");
  await put("Storm lantern");
  const order = await checkOut("poison");
  const id = await order.getAttribute("data-order");
  const letter = page.locator(`[data-dead="${id}"]`);
  await letter.waitFor();
  assert.match(await letter.innerText(), /issuer.*payment\.charge-card/s);
  await until(order, "reserved");

  await put("Folding map");
  await page.locator("#telemetry", { hasText: "van-3" }).waitFor();
  if (process.env["UPDATE_SCREENSHOTS"] === "1") await takeScreenshot();

  await letter.getByRole("button", { name: "Replay" }).click();
  await until(order, "completed");
  await letter.waitFor({ state: "detached" });
});

test("what customers write is text, never markup", async () => {
  const name = `<img src=x onerror="document.title='taken'">`;
  await put("Mountain tea");
  await page.getByRole("textbox", { name: "Name" }).fill(name);
  await until(await checkOut("good"), "completed");
  await page.locator("#notifications", { hasText: name }).waitFor();
  assert.equal(await page.title(), "Waybill Outfitters");
});

test("the page fits a phone, and everything on it can be reached and is named", async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  await put("First-edition atlas");
  assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 360);
  const nameless = await page.locator("button, input, select, a").evaluateAll((nodes) =>
    (
      nodes as unknown as {
        labels?: ArrayLike<unknown>;
        textContent: string;
        outerHTML: string;
        getAttribute(name: string): string | null;
      }[]
    )
      .filter(
        (node) =>
          !node.getAttribute("aria-label") && !node.labels?.length && !node.textContent.trim(),
      )
      .map((node) => node.outerHTML),
  );
  assert.deepEqual(nameless, []);

  await page.keyboard.press("Tab");
  await page.locator("select[name=card]").focus();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  assert.ok(await page.getByLabel("VIP member").isChecked());
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await until(page.locator("[data-order]").first(), "completed");
});
