import { createSecretKey, generateKeyPairSync } from "node:crypto";
import {
  type Arrival,
  type Body,
  type Departure,
  type Environment,
  type Header,
  type Sealed,
  type WireTransform,
  systemEnvironment,
} from "@waybill/core";
import type { Key } from "./index.ts";

export const secret = (fill: number, bytes = 32): Uint8Array => new Uint8Array(bytes).fill(fill);
export const secretKey = (kid: string, fill: number, expiresAt?: Date): Key => ({
  kid,
  key: createSecretKey(secret(fill)),
  ...(expiresAt !== undefined && { expiresAt }),
});
export const ed25519 = (): ReturnType<typeof generateKeyPairSync> => generateKeyPairSync("ed25519");

export interface Crossing {
  readonly header?: Partial<Header>;
  readonly destination?: string;
  readonly environment?: Environment;
  readonly delivery?: Arrival["delivery"];
}

const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export function departure({
  header,
  destination,
  environment = systemEnvironment,
}: Crossing = {}): Departure {
  return {
    header: {
      specversion: "1.0",
      id: "message-1",
      source: "/services/ordering",
      type: "test.message",
      time: new Date(environment.clock.now()).toISOString(),
      datacontenttype: "application/json",
      conversationid: "c",
      ...header,
    },
    destination: destination ?? "queue/test.message",
    encodings: [],
    environment,
    logger,
  };
}

/** A sealed message as it stands in the broker. */
export interface Stored {
  readonly header: Header;
  readonly body: Body;
  readonly sealed: Sealed;
}

export async function seal(
  wire: WireTransform,
  body: Body,
  crossing: Crossing = {},
): Promise<Stored> {
  const { header } = departure(crossing);
  const sealed = await wire.seal(body, { ...departure(crossing), header });
  if (sealed === undefined) throw new Error("it was not sealed");
  const { signature, encoding } = sealed;
  return {
    header: { ...header, contentencoding: encoding, ...(signature !== undefined && { signature }) },
    body: sealed.body,
    sealed,
  };
}

export async function open(
  wire: WireTransform,
  stored: Pick<Stored, "header" | "body">,
  crossing: Crossing = {},
): Promise<Body> {
  const base = departure(crossing);
  return wire.open(stored.body, {
    ...base,
    header: { ...stored.header, ...crossing.header },
    encoding: wire.encodings[0] ?? "",
    delivery: crossing.delivery,
  });
}
