import { type Logger, type TransportHost, WaybillError } from "@waybill/core";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import {
  type ConnectionOptions,
  type NatsConnection,
  type Status,
  connect,
  credsAuthenticator,
} from "@nats-io/transport-node";
import { brokerError } from "./errors.ts";
import type { Settings } from "./options.ts";
import { Requests } from "./requests.ts";

/** A connection, which nats.js brings back by itself, and JetStream on it. */
export interface Link {
  readonly connection: NatsConnection;
  readonly jetstream: JetStreamManager;
  readonly requests: Requests;
}

/** Before it pull requests and consumers were otherwise. */
const oldest = [2, 9] as const;
const reconnectDelayMs = 250;
const requestTimeoutMs = 5_000;

/** Connects for the first time. Rejects when that fails, with why. */
export async function openLink(settings: Settings, host: TransportHost): Promise<Link> {
  const doing = `Connecting to NATS at ${settings.shownUrl}`;
  let connection: NatsConnection | undefined;
  try {
    connection = await connect(optionsOf(settings, host));
    assertRecent(connection);
    return {
      connection,
      requests: new Requests(connection, host.environment),
      jetstream: await jetstreamManager(connection, { timeout: requestTimeoutMs }),
    };
  } catch (error) {
    await connection?.close().catch(() => undefined);
    throw brokerError(doing, error);
  }
}

/** Tells the log, and who wants to know, how the connection fares, until it is closed. */
export async function watch(
  { connection, requests }: Link,
  logger: Logger,
  reconnected: () => void,
): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === "reconnect") {
      logger.info("The connection to NATS is back.");
      reconnected();
    } else note(status, logger);
    if (status.type === "error") requests.refused(status.error);
    if (status.type === "disconnect") requests.lost();
  }
}

function note(status: Status, logger: Logger): void {
  if (status.type === "disconnect")
    logger.warn("The connection to NATS is lost. Reconnecting.", { server: status.server });
  if (status.type === "error") logger.error(brokerError("Talking to NATS", status.error).message);
  if (status.type === "slowConsumer") logger.warn("NATS sends faster than this process reads.");
}

function optionsOf(settings: Settings, { instance }: TransportHost): ConnectionOptions {
  const [first] = settings.servers;
  const { credentials, token, tls } = settings;
  const insists = settings.servers.some(({ protocol }) => protocol === "tls:");
  return {
    servers: settings.servers.map(({ hostname, port }) => `${hostname}:${port || "4222"}`),
    name: instance,
    timeout: settings.connectTimeoutMs,
    pingInterval: settings.pingIntervalMs,
    maxPingOut: 2,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: reconnectDelayMs,
    ...(first !== undefined &&
      first.username !== "" && {
        user: decodeURIComponent(first.username),
        pass: decodeURIComponent(first.password),
      }),
    ...(token !== undefined && { token }),
    ...(credentials !== undefined && {
      authenticator: credsAuthenticator(new TextEncoder().encode(credentials)),
    }),
    ...((insists || tls !== undefined) && { tls: { ...tls } }),
  };
}

/** Throws NOT_SUPPORTED. */
function assertRecent({ info }: NatsConnection): void {
  const [major = 0, minor = 0] = (info?.version ?? "").split(".").map(Number);
  if (major > oldest[0] || (major === oldest[0] && minor >= oldest[1])) return;
  throw new WaybillError(
    "NOT_SUPPORTED",
    `nats-server ${info?.version ?? "of unknown version"} is too old. Update it to ${oldest.join(".")} or newer.`,
  );
}
