import assert from "node:assert/strict";
import { type AddressInfo, connect as tcp } from "node:net";
import { test } from "node:test";
import { type Server, createServer } from "node:tls";
import { type WaybillError, systemEnvironment } from "@waybill/core";
import { Certificates } from "./certificates.test.support.ts";
import { Corner } from "./corner.test.support.ts";
import type { RabbitmqTls } from "./options.ts";
import { port } from "./subject.test.support.ts";

/** TLS in front of the server that tests share. */
async function secured(
  certificates: Certificates,
  name: string,
  requestCert: boolean,
): Promise<Server> {
  const key = certificates.read(`${name}.key`);
  const cert = certificates.read(`${name}.crt`);
  const ca = certificates.read("ours.crt");
  const options = { key, cert, ca, requestCert, rejectUnauthorized: requestCert };
  const server = createServer(options, (client) => {
    const broker = tcp(port, "127.0.0.1");
    client.pipe(broker).pipe(client);
    client.on("error", () => broker.destroy());
    broker.on("error", () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

interface Attempt {
  readonly what: string;
  /** Whose certificate the server shows. */
  readonly server: "server" | "elsewhere";
  readonly asks?: boolean;
  readonly scheme?: "amqp" | "amqps";
  readonly tls: (certificates: Certificates) => RabbitmqTls;
  /** Absent: it connects. */
  readonly refused?: { readonly code: string; readonly says: RegExp };
}

const ours = (certificates: Certificates): RabbitmqTls => ({ ca: certificates.read("ours.crt") });

const attempts: readonly Attempt[] = [
  { what: "the authority that signed", server: "server", tls: ours },
  {
    what: "no authority",
    server: "server",
    tls: () => ({}),
    refused: { code: "UNAUTHORISED", says: /tls: \{ ca \}/ },
  },
  {
    what: "another authority",
    server: "server",
    tls: (certificates) => ({ ca: certificates.read("other.crt") }),
    refused: { code: "UNAUTHORISED", says: /tls: \{ ca \}/ },
  },
  {
    what: "a server that is another host",
    server: "elsewhere",
    tls: ours,
    refused: { code: "UNAUTHORISED", says: /tls: \{ servername \}/ },
  },
  {
    what: "a server that is another host, by its name",
    server: "elsewhere",
    tls: (certificates) => ({ ...ours(certificates), servername: "elsewhere" }),
  },
  {
    what: "no certificate where the server asks for one",
    server: "server",
    asks: true,
    tls: ours,
    refused: { code: "UNAUTHORISED", says: /tls: \{ cert, key \}/ },
  },
  {
    what: "a certificate where the server asks for one",
    server: "server",
    asks: true,
    tls: (certificates) => ({
      ...ours(certificates),
      cert: certificates.read("client.crt"),
      key: certificates.read("client.key"),
    }),
  },
  {
    what: "amqp:// to a port of TLS",
    server: "server",
    scheme: "amqp",
    tls: () => ({}),
    refused: { code: "TRANSPORT_FAILED", says: /use amqps:/ },
  },
];

function open(corner: Corner, url: string, tls: RabbitmqTls) {
  return corner.factory({ url, tls }).open({
    environment: systemEnvironment,
    logger: corner.logger,
    instance: "test",
    unrouted: () => undefined,
  });
}

for (const { what, server: name, asks = false, scheme = "amqps", tls, refused } of attempts)
  test(`over TLS, ${what}: ${refused === undefined ? "connects and sends" : refused.code}`, async () => {
    using certificates = new Certificates();
    await using corner = new Corner();
    const server = await secured(certificates, name, asks);
    const at = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const opening = open(corner, at, tls(certificates));
      if (refused !== undefined) {
        await assert.rejects(opening, (error: WaybillError) => {
          assert.equal(error.code, refused.code);
          assert.match(error.message, refused.says);
          return true;
        });
        return;
      }
      await using transport = await opening;
      const queues = [{ name: corner.name("work") }];
      await transport.declare({ queues, topics: [], subscriptions: [], streams: [] });
      assert.deepEqual(
        (await transport.inspection.addresses()).map(({ ready }) => ready),
        [0],
      );
    } finally {
      server.close();
    }
  });

test("amqps:// to a port without TLS is told", async () => {
  await using corner = new Corner();
  await assert.rejects(open(corner, `amqps://127.0.0.1:${port}`, {}), {
    code: "TRANSPORT_FAILED",
    retryable: false,
    message: /speaks no TLS: use amqp:/,
  });
});
