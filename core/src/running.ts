import type { Calls } from "./calls/calls.ts";
import type { Served } from "./calls/served.ts";
import type { Captures } from "./captures/captures.ts";
import type { CircuitBreaker } from "./flow/circuit-breaker.ts";
import type { LoopLag } from "./flow/loop-lag.ts";
import type { Listener } from "./handling/listener.ts";
import type { Channel } from "./ports/channel.ts";
import type { Runtime } from "./runtime.ts";
import type { Delays } from "./schedules/delays.ts";
import type { Scheduler } from "./schedules/scheduler.ts";
import type { Speech } from "./speaking/speech.ts";
import type { Stores } from "./stores/stores.ts";
import type { OpenViews } from "./views/open-views.ts";
import type { Wiring } from "./wiring/wiring.ts";

/** Everything that runs behind a bus. */
export interface Running {
  readonly runtime: Runtime;
  readonly wiring: Wiring;
  readonly speech: Speech;
  readonly calls: Calls;
  readonly listeners: readonly Listener[];
  /** Who answers calls from this process and from others. */
  readonly servings: readonly Served[];
  readonly breakers: readonly CircuitBreaker[];
  /** Undefined where nothing is received, and where time does not pass by itself. */
  readonly loop: LoopLag | undefined;
  readonly channels: readonly Channel[];
  /** Ends the metrics of depth and lag; undefined where nobody collects any. */
  readonly endDepths: (() => void) | undefined;
  readonly stores: Stores;
  readonly views: OpenViews;
  readonly schedulers: readonly Scheduler[];
  readonly delays: Delays;
  readonly captures: Captures;
  /** Ends the forgetting of old sagas; undefined where no service is one. */
  readonly endForgetting: (() => Promise<void>) | undefined;
}
