import { connect } from "node:net";

/** What a server says when a client speaks its protocol. */
export type Answer =
  | { readonly kind: "ready" }
  /** Somebody listens, but not what we look for, or not yet. */
  | { readonly kind: "other"; readonly said: string }
  | { readonly kind: "silent" };

export interface Greeting {
  readonly port: number;
  /** What the client says first; undefined where the server speaks first. */
  readonly hello: Uint8Array | undefined;
  readonly isReady: (answer: Buffer) => boolean;
}

const answerMsMax = 2_000;
const answerBytesMax = 65_536;
const kafkaCorrelation = 0x77_62;

/** Connects on loopback, says hello and judges the answer. Never rejects. */
export function probe({ port, hello, isReady }: Greeting): Promise<Answer> {
  return new Promise((resolve) => {
    let received = Buffer.alloc(0);
    let connected = false;
    const socket = connect({ host: "127.0.0.1", port });
    const settle = (answer: Answer): void => {
      socket.destroy();
      resolve(answer);
    };
    const settleWithReceived = (): void =>
      settle(connected ? { kind: "other", said: printable(received) } : { kind: "silent" });
    socket.setTimeout(answerMsMax, settleWithReceived);
    socket.on("error", settleWithReceived);
    socket.on("close", settleWithReceived);
    socket.on("connect", () => {
      connected = true;
      if (hello !== undefined) socket.write(hello);
    });
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (isReady(received)) settle({ kind: "ready" });
      else if (received.length > answerBytesMax) settleWithReceived();
    });
  });
}

function printable(bytes: Buffer): string {
  return bytes
    .subarray(0, 200)
    .toString("latin1")
    .replace(/[^ -~]+/g, " ")
    .trim();
}

export const redis: Greeting = {
  port: 6379,
  hello: Buffer.from("PING\r\n"),
  // A server that wants a password is a server all the same.
  isReady: (answer) => /^(\+PONG|-NOAUTH)/.test(answer.toString("latin1")),
};

export const nats: Greeting = {
  port: 4222,
  hello: undefined,
  isReady: (answer) => /^INFO \{.*"jetstream": ?true/.test(answer.toString("utf8")),
};

export const rabbitmq: Greeting = {
  port: 5672,
  hello: Buffer.from([...Buffer.from("AMQP"), 0, 0, 9, 1]),
  // A method frame (1) on channel 0 whose method is connection.start (class 10, method 10).
  isReady: (answer) =>
    answer.length >= 11 &&
    answer[0] === 1 &&
    answer.readUInt16BE(7) === 10 &&
    answer.readUInt16BE(9) === 10,
};

export const postgres: Greeting = {
  port: 5432,
  hello: startupMessage({ user: "postgres", database: "postgres" }),
  // It asks to authenticate ("R"); while it starts, and when it refuses, it answers an error ("E").
  isReady: (answer) => answer[0] === "R".charCodeAt(0),
};

export const kafka: Greeting = {
  port: 9092,
  hello: apiVersionsRequest(),
  // Length, then the correlation id of the request.
  isReady: (answer) => answer.length >= 8 && answer.readInt32BE(4) === kafkaCorrelation,
};

function startupMessage(parameters: Readonly<Record<string, string>>): Buffer {
  const text = Object.entries(parameters)
    .flat()
    .map((part) => `${part}\0`)
    .join("");
  const body = Buffer.from(`${text}\0`);
  const head = Buffer.alloc(8);
  head.writeInt32BE(head.length + body.length, 0);
  head.writeInt32BE(3 << 16, 4); // Protocol 3.0.
  return Buffer.concat([head, body]);
}

/** ApiVersions (key 18) version 0 without a client id: every broker answers it. */
function apiVersionsRequest(): Buffer {
  const request = Buffer.alloc(14);
  request.writeInt32BE(10, 0);
  request.writeInt16BE(18, 4);
  request.writeInt16BE(0, 6);
  request.writeInt32BE(kafkaCorrelation, 8);
  request.writeInt16BE(-1, 12);
  return request;
}
