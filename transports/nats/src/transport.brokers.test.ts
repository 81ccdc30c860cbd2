import { transportSuite } from "@waybill/testkit";
import { clean } from "./cleaning.test.support.ts";
import { nats } from "./index.ts";

const url = "nats://127.0.0.1:4222";
const prefix = `suite-${process.pid}`;

transportSuite("nats", {
  skip: {
    "defer.front": "a stream takes messages at its end only",
    "schedule.late": "what is scheduled keeps its place in the stream until it is due",
  },
  create: () => ({
    factory: nats({ url, prefix }),
    dispose: () => clean("127.0.0.1:4222", prefix),
  }),
});
