import { once } from "node:events";
import { createServer } from "node:net";
import { systemEnvironment } from "@waybill/core";

/** Below those that systems give to outgoing connections: who looks for a server that is down could otherwise be given its port, and meet itself. */
const [first, last] = [20_000, 29_999];

/** A port of the loopback on which nobody listens, for a server that dies and comes back on it; another one for each run beside this one. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + Math.floor(systemEnvironment.random() * (last - first + 1));
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    server.close();
    if (isFree) return port;
  }
}
