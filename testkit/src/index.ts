export { type FakeEnvironment, type FakeOptions, fakeEnvironment } from "./environment.ts";
export { type FaultOptions, type FaultyFactory, withFaults } from "./faults.ts";
export type { FaultCounts, FaultKind, FaultPlan } from "./faults/plan.ts";
export type { TcpShape } from "./faults/tcp-pipe.ts";
export { type TcpDirection, TcpFaultProxy, type TcpTarget } from "./faults/tcp-proxy.ts";
export {
  type PlayOptions,
  type PlayedSaga,
  type SagaMessage,
  type SagaPlay,
  playSaga,
} from "./play-saga.ts";
export {
  type DeciderPlay,
  type DeciderPlayOptions,
  type PlayedDecider,
  playDecider,
} from "./play-decider.ts";
export { type PlayedView, type ViewPlay, playView } from "./play-view.ts";
export { seededRandom } from "./random.ts";
export type { CaseResult, FailureResults, SuiteResults } from "./results.ts";
export { type StallingEnvironment, stallingEnvironment } from "./stall.ts";
export type { SuiteCase } from "./suite/case.ts";
export type { SuiteSubject } from "./suite/stage.ts";
export { type SuiteOptions, transportCases, transportSuite } from "./transport-suite.ts";
export { type ChaosSubject, type ChaosSuiteOptions, chaosSuite } from "./chaos-suite.ts";
export { type CrashSuiteOptions, crashSuite } from "./crash-suite.ts";
export { type SoakSuiteOptions, soakSuite } from "./soak-suite.ts";
export { type SoakSample, soakWorker } from "./chaos/soak-worker.ts";
export { type HeapSample, type SoakReport, type Soaked, assertFlat, soak } from "./chaos/flat.ts";
export { type Handles, Held } from "./chaos/held.ts";
export { crashWorker } from "./chaos/worker.ts";
export { ServerProcess, type ServerProgram, type ServerSpec } from "./chaos/server-process.ts";
export { freePort } from "./chaos/free-port.ts";
export { type LineFault, lineFaults } from "./chaos/line-faults.ts";
export { type Ledger, type Tally, openLedger, overtakers, readLedgers } from "./chaos/ledger.ts";
export { ProcessRig, type WorkerSpec } from "./chaos/rig.ts";
export type { Run } from "./handler-watch.ts";
export { type LogLine, type TestBus, type TestBusOptions, testBus } from "./test-bus.ts";
export { type BusSuiteOptions, busCases, busSuite } from "./bus-suite.ts";
export type { BusCase } from "./bus/case.ts";
export { type FailureSuiteOptions, failureCases, failureSuite } from "./failure-suite.ts";
export type { FailureCase } from "./failures/case.ts";
export { type ModelStep, modelChoices, modelCommands, playModel } from "./model/play.ts";
export type { ModelSubject } from "./model/run.ts";
export { type StoreSuiteOptions, storeCases, storeSuite } from "./store-suite.ts";
export { type StoreKillSuiteOptions, storeKillSuite } from "./store-kill-suite.ts";
export { type StoreKillWorker, storeKillWorker } from "./store/kills/worker.ts";
export { type StageOptions, type StoreCase, StoreStage, type StoreSubject } from "./store/stage.ts";
export { type CodecSuiteOptions, codecSuite } from "./codec-suite.ts";
export { type WireSuiteOptions, wireSuite } from "./wire-suite.ts";
export { type Tampering, tampering } from "./wire/tampering.ts";
export { WireStage } from "./wire/stage.ts";
