import { transportSuite } from "@waybill/testkit";
import { subject } from "./corner.test.support.ts";

transportSuite("nats", {
  skip: {
    "defer.front": "a stream takes messages at its end only",
    "schedule.late": "what is scheduled keeps its place in the stream until it is due",
  },
  create: subject,
});
