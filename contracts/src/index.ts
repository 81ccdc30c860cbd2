export { type Command, type CommandOptions, command } from "./command.ts";
export type {
  Attributes,
  AttributeValue,
  Contract,
  ContractKind,
  DedupOptions,
  Upcaster,
  VersionOptions,
} from "./contract.ts";
export { type Event, type EventOptions, event } from "./event.ts";
export {
  type Feed,
  type FeedCursor,
  type FeedOptions,
  type FeedResume,
  type ResumableFeedOptions,
  feed,
} from "./feed.ts";
export { type Query, type QueryOptions, query } from "./query.ts";
export type { AttributeChanges, Rule, RuleTest } from "./rule.ts";
export { type Issue, type Schema, type Validated, type Validation, validate } from "./schema.ts";
export { type Retention, type Stream, type StreamOptions, stream } from "./stream.ts";
