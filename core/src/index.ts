export type { BatchBounds, BatchHandler, BatchItem } from "./batch/batch.ts";
export {
  type Aggregate,
  type AggregateOptions,
  type Part,
  type PartPolicy,
  type ValuesOf,
  aggregate,
  part,
} from "./calls/aggregate.ts";
export type { Bus, CarryingTransport, CloseOptions } from "./bus.ts";
export { type Codec, jsonCodec } from "./codec.ts";
export { type BusOf, type ConnectOptions, type DeclaredBy, connect } from "./connect.ts";
export { consoleLogger } from "./console-logger.ts";
export type {
  AppendOptions,
  BatchContext,
  CallOptions,
  ConsumeContext,
  Context,
  CursorOf,
  FeedContext,
  HandlerSession,
  InputOf,
  ItemOf,
  OpenOptions,
  OutputOf,
  PayloadOf,
  Receipt,
  ResumePolicy,
  SendOptions,
  SessionContext,
  UpstreamOf,
  ValueOf,
  Verbs,
} from "./context.ts";
export type { ContractCounters, ReplyCounters } from "./operating/counters.ts";
export type {
  AsideMessages,
  AsideQuery,
  DeferredMessages,
  ScheduledMessages,
  StoredMessages,
} from "./letters/stored-messages.ts";
export * from "./envelope.ts";
export { systemEnvironment } from "./environment/system.ts";
export { type ErrorCode, type ErrorOptions, WaybillError } from "./errors.ts";
export type {
  Explanation,
  Order,
  Rate,
  Retries,
  ScheduledBy,
  Taker,
} from "./explain/explanation.ts";
export type { CircuitHealth } from "./flow/circuit-breaker.ts";
export type { CircuitBreakerOptions, CircuitPolicy, CircuitState } from "./flow/circuit-options.ts";
export type { LoopHealth } from "./flow/loop-lag.ts";
export type { RateLimit } from "./flow/rate-limit.ts";
export type { Health, TransportHealth } from "./operating/health.ts";
export type { Ledger, LedgerLine } from "./operating/ledger.ts";
export type {
  DeadLetterGroup,
  DeadLetterGroups,
  DeadLetterQuery,
  DeadLetters,
  ReplayOptions,
} from "./letters/dead-letters.ts";
export type { Likeness } from "./letters/fingerprint.ts";
export type { ReplayReport, ReplaySettings } from "./letters/replay.ts";
export * from "./memory/index.ts";
export type { Incoming, Sending } from "./handling/message.ts";
export { type Outcome, complete, deadLetter, defer, retry } from "./handling/outcome.ts";
export type { Incomer, IncomingStep, OutgoingStep, Sender, UserStep } from "./handling/pipeline.ts";
export { PassedDelivery } from "./handling/passed-delivery.ts";
export type * from "./ports/capture.ts";
export * from "./ports/channel.ts";
export * from "./ports/environment.ts";
export * from "./ports/logger.ts";
export type * from "./ports/event-rows.ts";
export type * from "./ports/saga-rows.ts";
export type * from "./ports/schedule-rows.ts";
export type * from "./ports/store.ts";
export type * from "./ports/view-rows.ts";
export * from "./ports/transport.ts";
export type * from "./ports/wire.ts";
export type { RetryPolicy } from "./handling/retry.ts";
export { checkForwarding, forwardFailure, forwardHopsMax } from "./wiring/forwarding.ts";
export { type Change, type Taking, compileAcceptances } from "./wiring/acceptances.ts";
export { type CompiledRule, type Predicate, compileRule } from "./rules.ts";
export type { CallDepthPolicy } from "./runtime.ts";
export type { Kind, SplitTransports, TransportChoice } from "./split/options.ts";
export { type RetainedRange, firstSince, seekOffsets } from "./operating/seek.ts";
export {
  type Decider,
  type DeciderCommandOf,
  type DeciderEventOf,
  type DeciderOptions,
  type DeciderParts,
  type DeciderStateOf,
  type Decides,
  type Evolves,
  decider,
} from "./deciders/decider.ts";
export {
  type AnyHappened,
  type DecideContext,
  type DeciderBinding,
  type DeciderDefinition,
  type EvolveContext,
  type Happened,
  type RejectedRule,
  type Rejection,
  happened,
  reject,
} from "./deciders/definition.ts";
export { checkDecider } from "./deciders/decider-checks.ts";
export {
  Decision,
  type DecisionContext,
  type Occurrence,
  keyOfCommand,
} from "./deciders/decision.ts";
export { StreamFold, type StreamStanding } from "./deciders/folding.ts";
export type {
  DecideOptions,
  DecidedNow,
  DecidedState,
  DeciderLook,
  EventReplayOptions,
  HistoryQuery,
  ReplayedEvent,
} from "./deciders/look.ts";
export { type EventMetadata, type RecordedEvent, writeSnapshot } from "./deciders/record.ts";
export type { SagaContext, SagaMoment, SagaParts } from "./sagas/context.ts";
export type { SagaBinding, SagaDefinition, SagaRefusal, SagaRule } from "./sagas/definition.ts";
export type { SagaLook, SagaQuery, SagaSnapshot, SagaSummary } from "./sagas/look.ts";
export { type SagaBody, type Undo, readSaga } from "./sagas/record.ts";
export { checkSaga } from "./sagas/saga-checks.ts";
export {
  type MoveOptions,
  type Saga,
  type SagaContextOf,
  type SagaOptions,
  type SagaPhaseOf,
  type SagaStateOf,
  type StartOptions,
  saga,
} from "./sagas/saga.ts";
export type { TurnSpeech } from "./sagas/turn-context.ts";
export { SagaTurn, sagaIdOf, takeTurn } from "./sagas/turn.ts";
export type {
  Firing,
  MissedOptions,
  MissedRule,
  Schedulable,
  ScheduleDefinition,
  ScheduleOptions,
} from "./schedules/definition.ts";
export type { BusSchedules, ScheduleQuery, ScheduleStatus } from "./schedules/bus-schedules.ts";
export type { ScheduleVerbs, ScheduleWhen } from "./schedules/dynamic.ts";
export type { CronTiming, EveryTiming, Timing } from "./schedules/timing.ts";
export {
  type AnswerHandler,
  type AnswerOptions,
  type Batched,
  type ConsumeOptions,
  type HandlerDefaults,
  type HandlerOptions,
  type MessageHandler,
  type ServeHandler,
  type ConsumeHandler,
  type ContextOf,
  type Service,
  type ServiceBuilder,
  type Stateful,
  type SubscriptionOptions,
  service,
} from "./service.ts";
export {
  type PauseOptions,
  type PauseTarget,
  checkPauseReason,
  deliversNothing,
} from "./operating/pausing.ts";
export {
  noSession,
  sessionLost,
  sessionStateBytesMax,
  stateBytes,
} from "./handling/session-state.ts";
export type { BusTransaction } from "./stores/bus-transaction.ts";
export type { OutboxMessages, RefusedMessage, RefusedQuery } from "./stores/outbox.ts";
export type { StoreHealth } from "./stores/store-health.ts";
export type { StreamPosition, Streams } from "./operating/streams.ts";
export { type FailureKind, type Judgement, judge } from "./handling/taxonomy.ts";
export { type Termination, terminated } from "./termination.ts";
export { type BrokerTopology, type TopologyOptions, topology } from "./topology.ts";
export { type KnownTopology, discrepanciesOf } from "./wiring/discrepancies.ts";
export { type DeclareMode, refuseDiscrepancies } from "./wiring/verifying.ts";
export type {
  BackfillContext,
  ViewBinding,
  ViewContext,
  ViewContract,
  ViewDefinition,
  ViewFill,
  ViewSource,
} from "./views/definition.ts";
export { Fold, rowKeyOf } from "./views/fold.ts";
export type { AllViews, ViewLook } from "./views/look.ts";
export type { ViewPageOf, ViewQuery, ViewReader } from "./views/reader.ts";
export type { RebuildOptions, RebuildReport } from "./views/rebuild.ts";
export { readRow } from "./views/record.ts";
export type { ViewSourceStatus, ViewStatus } from "./views/status.ts";
export { checkView } from "./views/view-checks.ts";
export {
  type FillOf,
  type View,
  type ViewEventOptions,
  type ViewOptions,
  type ViewReducer,
  type ViewRowOf,
  type ViewStreamOptions,
  view,
} from "./views/view.ts";
export type { ViewToken, WaitForOptions } from "./views/waiting.ts";
export type { AnyContract, DeclaredIn, Uses } from "./wiring/uses.ts";
