import { transportSuite } from "@waybill/testkit";
import { subject } from "./subject.test.support.ts";

transportSuite("rabbitmq", {
  skip: { "defer.front": "a queue of RabbitMQ takes messages at its end only" },
  create: subject,
});
