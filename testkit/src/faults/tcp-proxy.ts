import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { TcpPipe, type TcpShape } from "./tcp-pipe.ts";

/** `toServer`: what the client wrote. `toClient`: what the server wrote. */
export type TcpDirection = "toServer" | "toClient";

export interface TcpTarget {
  /** Default 127.0.0.1. */
  readonly host?: string;
  readonly port: number;
  /** Where the proxy listens, for a server that tells its clients where it is. Default: a free port. */
  readonly listenPort?: number;
}

interface Connection {
  readonly client: Socket;
  readonly server: Socket;
  readonly toServer: TcpPipe;
  readonly toClient: TcpPipe;
}

const both: readonly TcpDirection[] = ["toServer", "toClient"];

/**
 * Stands between a client and a real server on the loopback and does what networks do on bad days: resets in the middle of a frame,
 * half-open connections, single bytes, lost answers, latency, a narrow line. It never changes a byte. Runs on real time.
 *
 * @example
 * await using proxy = await TcpFaultProxy.listen({ port: 5672 });
 * const transport = rabbitmq({ url: `amqp://127.0.0.1:${proxy.port}` });
 * proxy.resetAfter(100, "toClient");
 */
export class TcpFaultProxy implements AsyncDisposable {
  readonly #listener: Server;
  readonly #target: TcpTarget;
  readonly #connections = new Set<Connection>();
  #shape: TcpShape = {};
  #frozen: readonly TcpDirection[] = [];
  #swallowed: readonly TcpDirection[] = [];
  #refusing = false;
  #accepted = 0;

  private constructor(target: TcpTarget) {
    this.#target = target;
    this.#listener = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
  }

  /** Listens on 127.0.0.1. */
  static async listen(target: TcpTarget): Promise<TcpFaultProxy> {
    const proxy = new TcpFaultProxy(target);
    proxy.#listener.listen(target.listenPort ?? 0, "127.0.0.1");
    await once(proxy.#listener, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#connections.size;
  }

  /** Connections that were taken since it listens. */
  get accepted(): number {
    return this.#accepted;
  }

  /** How all bytes travel from now on, those of new connections too. */
  shape(shape: TcpShape): void {
    this.#shape = shape;
    this.#each((pipe) => (pipe.shape = shape));
  }

  /** Holds bytes back and closes nothing, on new connections too: neither side learns that the other is out of reach. */
  freeze(directions: readonly TcpDirection[] = both): void {
    this.#frozen = directions;
    this.#each((pipe) => pipe.freeze(), directions);
  }

  /** Loses bytes for good, as if the line were dead; what swallowed is reset by `heal()`, for its protocol is out of step. */
  swallow(directions: readonly TcpDirection[] = both): void {
    this.#swallowed = directions;
    this.#each((pipe) => (pipe.swallowing = true), directions);
  }

  /** New connections are reset at once, as if no server listened. */
  refuse(): void {
    this.#refusing = true;
  }

  /** Resets every connection now. Answers how many. */
  reset(): number {
    const connections = [...this.#connections];
    for (const connection of connections) cut(connection);
    return connections.length;
  }

  /** Resets each open connection when so many more of its bytes have passed that way: with luck in the middle of a frame. */
  resetAfter(bytes: number, direction: TcpDirection): void {
    this.#each((pipe) => pipe.cutAfter(bytes), [direction]);
  }

  /** Ends every fault. What was frozen flows on; what swallowed is reset. */
  heal(): void {
    const swallowed = this.#swallowed.length > 0;
    this.#shape = {};
    this.#frozen = [];
    this.#swallowed = [];
    this.#refusing = false;
    if (swallowed) this.reset();
    this.#each((pipe) => {
      pipe.shape = {};
      pipe.thaw();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#listener, "close");
    this.#listener.close();
    this.heal();
    this.reset();
    await closed;
  }

  #accept(client: Socket): void {
    this.#accepted += 1;
    if (this.#refusing) return void client.resetAndDestroy();
    const { host = "127.0.0.1", port } = this.#target;
    const server = connect({ host, port, allowHalfOpen: true });
    const cutThis = (): void => cut(connection);
    const connection: Connection = {
      client,
      server,
      toServer: new TcpPipe(client, server, cutThis),
      toClient: new TcpPipe(server, client, cutThis),
    };
    this.#connections.add(connection);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", cutThis);
      socket.on("close", () => {
        if (client.destroyed && server.destroyed) this.#connections.delete(connection);
      });
    }
    for (const direction of both) {
      const pipe = connection[direction];
      pipe.shape = this.#shape;
      if (this.#frozen.includes(direction)) pipe.freeze();
      pipe.swallowing = this.#swallowed.includes(direction);
    }
  }

  #each(act: (pipe: TcpPipe) => void, directions: readonly TcpDirection[] = both): void {
    for (const connection of this.#connections)
      for (const direction of directions) act(connection[direction]);
  }
}

function cut({ client, server, toServer, toClient }: Connection): void {
  for (const socket of [client, server]) {
    if (socket.destroyed) continue;
    // One whose end is on its way cannot be reset: Node would never close its handle, and wait for it when the process ends.
    if (socket.writableEnded) socket.destroy();
    else socket.resetAndDestroy();
  }
  // Who waits for the thaw must find that the sockets are gone.
  toServer.thaw();
  toClient.thaw();
}
