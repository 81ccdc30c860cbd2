import { transportSuite } from "@waybill/testkit";
import { subject } from "./corner.test.support.ts";

transportSuite("kafka", {
  skip: {
    "defer.front": "a partition takes messages at its end only",
    "schedule.late":
      "what falls due goes to one of several partitions, between which there is no order",
    "schedule.order":
      "what falls due goes to one of several partitions, between which there is no order",
  },
  create: subject,
});
