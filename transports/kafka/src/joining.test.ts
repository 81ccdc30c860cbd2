import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decodeConsumerProtocolAssignment,
  decodeConsumerProtocolSubscription,
} from "@platformatic/kafka";
import { type Said, assignments, readAssignment, writeClaim } from "./joining.ts";

const topics = ["app.stream.s", "app.returns.s"];
const said: Said = { owned: ["app.stream.s:2"], generation: 4, leaving: false };

test("what members say and are told is told whole, seeks in their order, and Kafka's tools can read it", () => {
  const later = { number: 5, offsets: [["app.stream.s:0", 7]] } as const;
  const earlier = { number: 3, offsets: [["app.stream.s:0", 1]] } as const;
  const members = [
    {
      memberId: "asks",
      metadata: writeClaim({ ...said, owned: [], leaving: true, seek: later }, topics),
    },
    {
      memberId: "asked",
      metadata: writeClaim({ ...said, owned: [], leaving: true, seek: earlier }, topics),
    },
    { memberId: "reads", metadata: writeClaim(said, topics) },
  ];
  const keys = ["app.stream.s:0", "app.stream.s:2", "app.returns.s:0"];
  const told = new Map(
    assignments({ members }, keys).map(({ memberId, assignment }) => [memberId, assignment]),
  );
  const reads = told.get("reads") ?? Buffer.alloc(0);
  const { keys: mine, seeks, orphans } = readAssignment(reads);
  assert.deepEqual([mine.toSorted(), seeks, orphans], [keys.toSorted(), [earlier, later], []]);
  assert.deepEqual(readAssignment(told.get("asks") ?? Buffer.alloc(0)).keys, []);
  const shown = decodeConsumerProtocolAssignment(reads).assignedPartitions;
  assert.deepEqual(new Set(shown.map(({ topic }) => topic)), new Set(topics));
  const claimed = decodeConsumerProtocolSubscription(writeClaim(said, topics));
  assert.deepEqual([claimed.topics.toSorted(), claimed.generationId], [topics.toSorted(), 4]);
});

test("who gets nothing, or what somebody else wrote, reads as nothing", () => {
  assert.deepEqual(readAssignment(Buffer.alloc(0)), { keys: [], seeks: [], orphans: [] });
});
