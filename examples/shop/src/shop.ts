import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { dataFiles, services } from "./services.ts";
import { readSettings } from "./settings.ts";
import { Supervised } from "./supervised.ts";

export interface ShopOptions {
  /** Where the broker and every service keep their data. */
  readonly directory: string;
  /** Where the storefront should answer; the next free one when it is taken. Default 4300. */
  readonly port?: number;
  /** Begins with empty data. */
  readonly fresh?: boolean;
  /** What carries the messages: a URL for `connect`. Default: the embedded broker, in the directory. */
  readonly transport?: string;
  /** For the services: see settings.ts. */
  readonly env?: Readonly<Record<string, string>>;
  readonly log?: (line: string) => void;
}

export const portDefault = 4_300;
const stopMs = 10_000;

/** The whole shop: every service as a process of its own, kept running until it is closed. */
export class Shop implements AsyncDisposable {
  readonly #lock: DatabaseSync;
  readonly #services: readonly Supervised[];
  readonly #competitor: Supervised;
  readonly #storefront: Supervised;
  #port: number;
  #url = "";

  /** Errors: another shop runs on this directory; a setting makes no sense. */
  constructor({
    directory,
    port = portDefault,
    fresh = false,
    transport,
    env = {},
    log = console.log,
  }: ShopOptions) {
    // Here once, in words, instead of from every service.
    readSettings({ ...process.env, ...env });
    mkdirSync(directory, { recursive: true });
    this.#lock = lockOf(directory);
    if (fresh) empty(directory);
    this.#port = port;
    const supervise = (service: string, name = service): Supervised =>
      new Supervised({
        name,
        service,
        directory,
        env,
        log,
        args: () => [
          ...(transport === undefined ? [] : ["--transport", transport]),
          ...(service === "storefront" ? ["--port", String(this.#port)] : []),
        ],
      });
    this.#services = Object.keys(services).map((name) => supervise(name));
    this.#competitor = supervise("inventory", "inventory-2");
    this.#storefront = supervise("storefront");
  }

  /** Where the storefront answers. */
  get url(): string {
    return this.#url;
  }

  get processes(): readonly Supervised[] {
    return [...this.#services, this.#competitor, this.#storefront];
  }

  /** Resolves when the storefront answers. It opens last: by then every subscription is there, so that no event is missed. */
  async open(): Promise<void> {
    await Promise.all(this.#services.map((service) => service.start()));
    await this.#competitor.start();
    const { url = "" } = await this.#storefront.start();
    this.#url = url;
    this.#port = Number(new URL(url).port);
    const response = await fetch(`${url}/api/products`);
    if (!response.ok) throw new Error(`The storefront answers with ${response.status}.`);
    await response.body?.cancel();
  }

  /** The storefront first, so that nothing new comes in; then all others. */
  async close(): Promise<void> {
    await this.#storefront.stop(stopMs);
    await Promise.all([...this.#services, this.#competitor].map((service) => service.stop(stopMs)));
    if (this.#lock.isOpen) this.#lock.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A lock that the operating system takes back when this process dies, however it dies. */
function lockOf(directory: string): DatabaseSync {
  const lock = new DatabaseSync(join(directory, "shop.lock"));
  try {
    lock.exec("begin exclusive");
    return lock;
  } catch (cause) {
    lock.close();
    throw new Error(
      `Another shop runs on ${directory}. Stop it first, or give this one its own place: npm start -- --data DIR --port N`,
      { cause },
    );
  }
}

function empty(directory: string): void {
  rmSync(join(directory, "broker"), { recursive: true, force: true });
  for (const name of dataFiles) {
    for (const suffix of ["", "-wal", "-shm"]) {
      rmSync(join(directory, `${name}.db${suffix}`), { force: true });
    }
  }
}
