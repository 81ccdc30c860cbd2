import assert from "node:assert/strict";
import { test } from "node:test";
import { systemEnvironment as environment } from "@waybill/core";
import type { Link } from "./link.ts";
import { writeMessage } from "./message.ts";
import { settingsOf } from "./options.ts";
import { Patience } from "./patience.ts";
import { type Parcel, Publisher } from "./publisher.ts";
import type { Ask } from "./requests.ts";
import { Standing } from "./standing.ts";

const stream = "waybill_event_orders";
const missing = { code: 404, err_code: 10_059, description: "stream not found" };

interface Encoded {
  encode(): Uint8Array;
}

/** A server that confirms all it gets, and forgets its streams so many times. */
function stoppingServer(times: number): { link: Link; ids: string[]; asked: () => number } {
  const ids: string[] = [];
  let asked = 0;
  const answered = (answer: object) => ({
    string: () => JSON.stringify(answer),
    json: () => answer,
  });
  const ask = async (subject: string, _: unknown, { headers }: Partial<Ask>) => {
    if (subject === `$JS.API.STREAM.INFO.${stream}`)
      return answered(++asked <= times ? { error: missing } : { config: { name: stream } });
    const written = Buffer.from(
      (headers as unknown as Encoded | undefined)?.encode() ?? "",
    ).toString();
    ids.push(/Nats-Msg-Id: (.*)\r/.exec(written)?.[1] ?? "");
    return answered({ stream, seq: ids.length });
  };
  return { link: { requests: { ask } } as unknown as Link, ids, asked: () => asked };
}

function publisherTo(link: Link): Publisher {
  const settings = settingsOf({ url: "nats://127.0.0.1" });
  const patience = new Patience(environment);
  return new Publisher({ link, settings, patience, standing: new Standing({ link, environment }) });
}

function parcel(sendId: string, byInterest?: string): Parcel {
  const header = {
    specversion: "1.0",
    id: sendId,
    source: "/",
    type: "a",
    time: "",
    datacontenttype: "text/plain",
    conversationid: "",
  } as const;
  return { subject: "any", sendId, byInterest, ...writeMessage({ header, body: "" }, {}, 1_000) };
}

test("what a server confirms that has forgotten the stream is sent again under its id", async () => {
  const { link, ids } = stoppingServer(1);
  const lost = await publisherTo(link).send([parcel("one", stream)]);
  assert.deepEqual({ lost, ids }, { lost: [], ids: ["one", "one"] });
});

test("one question covers all that was confirmed together", async () => {
  const { link, ids, asked } = stoppingServer(0);
  await publisherTo(link).send([parcel("one", stream), parcel("two", stream)]);
  assert.deepEqual({ ids, asked: asked() }, { ids: ["one", "two"], asked: 1 });
});

test("nothing is asked about a stream that keeps what nobody takes", async () => {
  const { link, ids, asked } = stoppingServer(1);
  await publisherTo(link).send([parcel("one")]);
  assert.deepEqual({ ids, asked: asked() }, { ids: ["one"], asked: 0 });
});

test("what waits for its next attempt ends with the bus", async () => {
  const patience = new Patience(environment);
  const failure = new Error("connection refused");
  const trying = patience.again("Trying", { end: patience.end(60_000), failure }, () =>
    Promise.reject(failure),
  );
  patience.close();
  await assert.rejects(trying, { code: "CLOSED" });
});
