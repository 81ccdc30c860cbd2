import { temporaryDirectory } from "../directory.ts";
import type { Twin } from "../twin.ts";
import type { ConsumerSettings } from "./consumer.actor.ts";
import type { ProducerSettings } from "./producer.actor.ts";

/** Waybill's own embedded broker, in the shape of its twins. */
export const waybill: Twin = {
  name: "waybill embedded",
  files: {
    producer: new URL("producer.actor.ts", import.meta.url),
    consumer: new URL("consumer.actor.ts", import.meta.url),
  },
  version: async () => "embedded",
  open: async () => {
    const directory = await temporaryDirectory();
    const settings: ProducerSettings & ConsumerSettings = {
      directory: directory.path,
      inFlight: 1_000,
      concurrency: 1_000,
    };
    return { settings, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
  },
};
