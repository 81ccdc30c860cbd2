import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname } from "node:path";
import { WaybillError, sleep, systemEnvironment } from "waybill";
import { Visitor } from "../contracts/basket.ts";
import { HttpError, guard, sendError, sendJson } from "./http.ts";
import { type Call, type StorefrontBus, feeds, routes } from "./routes.ts";

const portsTried = 50;
const feedsMax = 500;
const closeMs = 2_000;

const contentTypes: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

const securityHeaders = {
  "content-security-policy":
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

/** The page's few files, in memory. */
const folder = new URL("public/", import.meta.url);
const pages = new Map(
  readdirSync(folder).map((name) => [
    name === "index.html" ? "/" : `/${name}`,
    {
      type: contentTypes[extname(name)] ?? "text/plain",
      body: readFileSync(new URL(name, folder)),
    },
  ]),
);

interface Route<Run> {
  readonly method: string;
  readonly pattern: URLPattern;
  readonly run: Run;
}

/** The shop's one HTTP server, for this machine only. */
export class Storefront implements AsyncDisposable {
  readonly #bus: StorefrontBus;
  readonly #server: Server;
  readonly #routes = compile(routes);
  readonly #feeds = compile(feeds);
  readonly #closing = new AbortController();
  #feedsOpen = 0;

  /** Opens at `port`, or at the next one that is free. */
  static async open(bus: StorefrontBus, port: number): Promise<Storefront> {
    const storefront = new Storefront(bus);
    await storefront.#listen(port);
    return storefront;
  }

  private constructor(bus: StorefrontBus) {
    this.#bus = bus;
    const limits = { headersTimeout: 5_000, requestTimeout: 10_000, keepAliveTimeout: 5_000 };
    this.#server = createServer({ ...limits, maxHeaderSize: 8_192 }, (request, response) => {
      this.#serve(request, response).catch((error: unknown) => sendError(response, error));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#closing.abort();
    this.#server.closeIdleConnections();
    await Promise.race([closed, sleep(systemEnvironment.timers, closeMs)]);
    this.#server.closeAllConnections();
  }

  async #listen(port: number): Promise<void> {
    for (let tried = port; ; tried++) {
      try {
        this.#server.listen({ port: tried, host: "127.0.0.1" });
        await once(this.#server, "listening");
        if (tried !== port) console.log(`Port ${port} is taken; using ${tried}.`);
        return;
      } catch (error) {
        const isTaken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
        if (!isTaken || tried === port + portsTried) throw error;
      }
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value);
    guard(request);
    const url = URL.parse(request.url ?? "", "http://localhost");
    if (url === null) throw new HttpError(400, "ADDRESS_INVALID", "That is no address.");
    const { pathname, searchParams: query } = url;
    const visitor = visitorOf(request, response);
    const page = request.method === "GET" ? pages.get(pathname) : undefined;
    if (page !== undefined) {
      response.writeHead(200, { "content-type": page.type, "cache-control": "no-cache" });
      response.end(page.body);
      return;
    }
    const call = { bus: this.#bus, request, visitor, query };
    const feed = find(this.#feeds, request.method, pathname);
    if (feed !== undefined)
      return this.#stream(feed.run, { ...call, params: feed.params }, response);
    const route = find(this.#routes, request.method, pathname);
    if (route === undefined)
      throw new HttpError(404, "NOT_FOUND", `There is nothing at ${pathname}.`);
    const { status, body } = await route.run({ ...call, params: route.params });
    sendJson(response, status, body);
  }

  async #stream(open: (typeof feeds)[string], call: Call, response: ServerResponse): Promise<void> {
    if (this.#feedsOpen >= feedsMax) {
      throw new HttpError(
        503,
        "BUSY",
        `More than ${feedsMax} pages are watching. Try again later.`,
      );
    }
    const left = new AbortController();
    const signal = AbortSignal.any([left.signal, this.#closing.signal]);
    const items = open(call, signal);
    response.once("close", () => left.abort());
    this.#feedsOpen += 1;
    try {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
      response.write("retry: 500\n\n");
      await Promise.all(items.map((each) => forward(each, response, signal)));
      response.write("event: end\ndata: {}\n\n");
    } catch (error) {
      // The page comes back by itself. That a feed ends when its service or its page goes is no news.
      if (!(error instanceof WaybillError) && !signal.aborted) console.error(error);
    } finally {
      this.#feedsOpen -= 1;
      left.abort();
      response.end();
    }
  }
}

/** At the pace at which the page reads. */
async function forward(
  items: AsyncIterable<unknown>,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  for await (const item of items) {
    const hasRoom = response.write(`data: ${JSON.stringify(item)}\n\n`);
    if (!hasRoom) await once(response, "drain", { signal });
  }
}

/** `GET /api/orders/:orderId` → method, pattern and what to run. */
function compile<Run>(table: Readonly<Record<string, Run>>): readonly Route<Run>[] {
  return Object.entries(table).map(([key, run]) => {
    const [method = "", pathname = ""] = key.split(" ");
    return { method, pattern: new URLPattern({ pathname }), run };
  });
}

function find<Run>(table: readonly Route<Run>[], method: string | undefined, pathname: string) {
  for (const route of table) {
    const match = route.method === method ? route.pattern.exec({ pathname }) : null;
    if (match !== null) return { run: route.run, params: match.pathname.groups };
  }
  return undefined;
}

/** Who is asking, by cookie; a new visitor gets one. */
function visitorOf(request: IncomingMessage, response: ServerResponse): string {
  const found = /(?:^|;\s*)visitor=([^;]*)/.exec(request.headers.cookie ?? "")?.[1];
  const known = Visitor.safeParse(found);
  if (known.success) return known.data;
  const visitor = systemEnvironment.id();
  response.setHeader("set-cookie", `visitor=${visitor}; Path=/; HttpOnly; SameSite=Strict`);
  return visitor;
}
