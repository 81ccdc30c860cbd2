import { WaybillError } from "@waybill/core";
import type { GroupTiming } from "./membership.ts";

/** Which Kafka, and how carefully. */
export interface KafkaOptions {
  /** `kafka://host:9092`, or `kafkas://` for TLS; several brokers of one cluster separated by commas. `user:password@` in front means SASL PLAIN. */
  readonly url: string;
  /** How this client says who it is, where a URL with user and password does not. */
  readonly sasl?: KafkaSasl;
  /** What brokers with a certificate of your own, or that ask for yours, need. Implies TLS. */
  readonly tls?: KafkaTls;
  /** Begins every topic and group, so that several systems can share a cluster. Letters, digits and dashes. Default "waybill". */
  readonly prefix?: string;
  /** Partitions of a topic that is created: the most processes that share a queue or a subscription. Default 4. Topics that exist keep theirs. */
  readonly partitions?: number;
  /** Copies of every topic that is created; with 2 or more a message counts as stored when every copy in sync has it. Default: what the brokers say. */
  readonly replicas?: number;
  /** Milliseconds that events are kept for subscriptions that do not take them. Default 7 days. Commands stay until they are handled. */
  readonly retentionMs?: number;
  /** Milliseconds without a sign of life after which a process has lost what it holds. Brokers take 6,000 to 1,800,000 unless told otherwise. Default 10,000. */
  readonly sessionTimeoutMs?: number;
  /** Milliseconds between signs of life, and so until a member learns that partitions move. Default 1,000. */
  readonly heartbeatMs?: number;
  /** Milliseconds that a partition which moves to another process waits for what is in hand there; then its locks are lost. Default 60,000. */
  readonly handoverMs?: number;
  /** The same name after every restart of this process, and another one for every process: then a restart within `sessionTimeoutMs` moves no partition. */
  readonly member?: string;
  /** Milliseconds for a connection to be made. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Milliseconds for a broker to answer; then the connection counts as lost. Default 10,000. */
  readonly requestTimeoutMs?: number;
  /** Milliseconds for Kafka to confirm what is sent, reconnecting included; then `send` rejects with TRANSPORT_FAILED. Default 30,000. */
  readonly sendTimeoutMs?: number;
  /** Most messages of `send` that wait for their confirmation; above it `send` rejects with BUFFER_FULL. Default 100,000. */
  readonly bufferMessagesMax?: number;
  /** Most bytes of such messages. Default 64 MiB. */
  readonly bufferBytesMax?: number;
  /** The brokers' `message.max.bytes`. Default 1,048,588, which is Kafka's. */
  readonly messageBytesMax?: number;
  /** Where a broker is reached that gives another address for itself: behind a tunnel, or a port that is passed on. */
  readonly reach?: (advertised: BrokerAddress) => BrokerAddress;
}

export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
}

export interface KafkaSasl {
  readonly mechanism: "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" | "OAUTHBEARER";
  readonly username?: string;
  readonly password?: string;
  /** For OAUTHBEARER; asked again for every connection. */
  readonly token?: () => string | Promise<string>;
}

export interface KafkaTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

type Optional = "sasl" | "tls" | "member" | "replicas";

export interface Settings extends Required<Omit<KafkaOptions, Optional>> {
  readonly sasl: KafkaSasl | undefined;
  readonly tls: KafkaTls | undefined;
  readonly member: string | undefined;
  readonly replicas: number | undefined;
  readonly brokers: readonly BrokerAddress[];
  /** The URL without its password, for errors and logs. */
  readonly shownUrl: string;
}

const mebibyte = 1024 * 1024;
const dayMs = 24 * 60 * 60 * 1_000;
const defaultPort = 9092;
const prefixPattern = /^[A-Za-z0-9-]{1,40}$/;
const urlPattern = /^(kafkas?):\/\/(?:([^@/]*)@)?([^@/]+)\/?$/;
const memberPattern = /^[A-Za-z0-9._-]{1,100}$/;

/** Fills in the defaults; throws OPTION_INVALID with the name of the option at fault. */
export function settingsOf(options: KafkaOptions): Settings {
  const read = readUrl(options.url);
  const { sasl = read.sasl, tls = read.isTls ? {} : undefined } = options;
  const settings: Settings = {
    url: options.url,
    brokers: read.brokers,
    shownUrl: read.shown,
    sasl,
    tls,
    member: options.member,
    replicas: options.replicas,
    prefix: options.prefix ?? "waybill",
    partitions: options.partitions ?? 4,
    retentionMs: options.retentionMs ?? 7 * dayMs,
    sessionTimeoutMs: options.sessionTimeoutMs ?? 10_000,
    heartbeatMs: options.heartbeatMs ?? 1_000,
    handoverMs: options.handoverMs ?? 60_000,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 10_000,
    sendTimeoutMs: options.sendTimeoutMs ?? 30_000,
    bufferMessagesMax: options.bufferMessagesMax ?? 100_000,
    bufferBytesMax: options.bufferBytesMax ?? 64 * mebibyte,
    messageBytesMax: options.messageBytesMax ?? 1_048_588,
    reach: options.reach ?? ((advertised) => advertised),
  };
  assertValid(settings);
  return settings;
}

function assertValid(settings: Settings): void {
  if (!prefixPattern.test(settings.prefix))
    throw invalid("prefix", "use 1 to 40 letters, digits and dashes");
  for (const name of numbers)
    if (!Number.isSafeInteger(settings[name]) || settings[name] <= 0)
      throw invalid(name, "give a whole number above 0");
  const { replicas, member, heartbeatMs, sessionTimeoutMs, messageBytesMax } = settings;
  if (replicas !== undefined && (!Number.isSafeInteger(replicas) || replicas < 1))
    throw invalid("replicas", "give a whole number above 0");
  if (member !== undefined && !memberPattern.test(member))
    throw invalid("member", "use 1 to 100 letters, digits, dots, dashes and underscores");
  if (heartbeatMs * 2 > sessionTimeoutMs)
    throw invalid("heartbeatMs", "give at most half of sessionTimeoutMs");
  if (messageBytesMax < messageBytesMin)
    throw invalid("messageBytesMax", `give at least ${messageBytesMin}`);
}

const messageBytesMin = 256 * 1024;
const numbers = [
  "partitions",
  "retentionMs",
  "sessionTimeoutMs",
  "heartbeatMs",
  "handoverMs",
  "connectTimeoutMs",
  "requestTimeoutMs",
  "sendTimeoutMs",
  "bufferMessagesMax",
  "bufferBytesMax",
  "messageBytesMax",
] as const;

interface ReadUrl {
  readonly brokers: readonly BrokerAddress[];
  readonly sasl: KafkaSasl | undefined;
  readonly isTls: boolean;
  readonly shown: string;
}

/** Throws OPTION_INVALID when it is no URL of Kafka. */
function readUrl(text: string): ReadUrl {
  const [, scheme, user, hosts] = urlPattern.exec(text.trim()) ?? [];
  const brokers = (hosts ?? "").split(",").map(brokerOf);
  if (scheme === undefined || brokers.some((each) => each === undefined))
    throw invalid("url", 'give a URL like "kafka://host:9092" or "kafka://one:9092,two:9092"');
  const [username = "", password = ""] = (user ?? "").split(":").map(decodeURIComponent);
  const isNamed = user !== undefined && user !== "";
  return {
    brokers: brokers.filter((each) => each !== undefined),
    sasl: isNamed ? { mechanism: "PLAIN", username, password } : undefined,
    isTls: scheme === "kafkas",
    shown: `${scheme}://${isNamed ? `${encodeURIComponent(username)}:***@` : ""}${hosts}`,
  };
}

function brokerOf(text: string): BrokerAddress | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain?.trim();
  if (host === undefined || host === "" || Number(port ?? 0) > 65_535) return undefined;
  return { host, port: port === undefined ? defaultPort : Number(port) };
}

function invalid(option: keyof KafkaOptions, advice: string): WaybillError {
  return new WaybillError("OPTION_INVALID", `kafka({ ${option} }): ${advice}.`, {
    details: { option },
  });
}

/** Of the groups of queues and subscriptions. */
export function timingOf({ sessionTimeoutMs, heartbeatMs }: Settings): GroupTiming {
  return { sessionMs: sessionTimeoutMs, rebalanceMs: sessionTimeoutMs, beatMs: heartbeatMs };
}

const rebalanceMsMin = 1_000;
const beatMsMax = 300;

/** Of the groups of streams, whose locks may be shorter than a session. */
export function streamTimingOf(settings: Settings, lockMs: number): GroupTiming {
  const { sessionTimeoutMs, heartbeatMs } = settings;
  const rebalanceMs = Math.max(rebalanceMsMin, lockMs);
  const beatMs = Math.min(beatMsMax, heartbeatMs, rebalanceMs / 3);
  return { sessionMs: sessionTimeoutMs, rebalanceMs, beatMs };
}
