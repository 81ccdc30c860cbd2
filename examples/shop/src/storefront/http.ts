import type { IncomingMessage, ServerResponse } from "node:http";
import { WaybillError } from "waybill";
import type * as z from "zod";

const bodyBytesMax = 16_384;

/** A refusal that the caller is told about, in words. */
export class HttpError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * Only pages of this very server may talk to it. A foreign name in `Host` is a DNS rebinding attack; a form or a script of another
 * site cannot send JSON here without a preflight request, which is never answered.
 */
export function guard({ method, headers }: IncomingMessage): void {
  const host = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;
  if (!host.test(headers.host ?? "")) {
    throw new HttpError(403, "HOST_REFUSED", "This shop answers to localhost and 127.0.0.1 only.");
  }
  if (method === "GET" || method === "HEAD") return;
  const site = headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin") {
    throw new HttpError(403, "ORIGIN_REFUSED", "Only the shop's own page may do this.");
  }
  if (!/^application\/json\s*(;|$)/i.test(headers["content-type"] ?? "")) {
    throw new HttpError(415, "JSON_EXPECTED", "Send a body with content-type application/json.");
  }
}

/** The body as its schema allows it. Errors: 400 and 413, with the reason. */
export async function readBody<Value>(
  request: IncomingMessage,
  schema: z.ZodType<Value>,
): Promise<Value> {
  const parsed = schema.safeParse(parseJson(await readText(request)));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join(".") || "body";
  throw new HttpError(400, "BODY_INVALID", `${where}: ${issue?.message ?? "is not valid"}.`);
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) {
      throw new HttpError(413, "BODY_TOO_LARGE", `A body has at most ${bodyBytesMax} bytes.`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new HttpError(400, "BODY_INVALID", "The body is not JSON.");
  }
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(body));
}

/** What went wrong, as far as it is the caller's business. */
export function sendError(response: ServerResponse, error: unknown): void {
  const { status, code, message } = refusalOf(error);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  // What is left of a body that was not read would be taken for the next request.
  response.setHeader("connection", "close");
  if (status === 503) response.setHeader("retry-after", "1");
  sendJson(response, status, { error: { code, message } });
}

function refusalOf(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  console.error(error);
  if (error instanceof WaybillError && error.retryable) {
    return new HttpError(503, error.code, "A part of the shop is busy. Try again in a moment.");
  }
  return new HttpError(500, "FAILED", "Something went wrong on our side.");
}
