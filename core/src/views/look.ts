import { answering } from "../operating/answering.ts";
import type { AddressState } from "../ports/transport.ts";
import type { Runtime } from "../runtime.ts";
import type { Speech } from "../speaking/speech.ts";
import type { ViewBell } from "./bell.ts";
import type { OpenView, OpenViews } from "./open-views.ts";
import { RowReader } from "./reader.ts";
import { type RebuildOptions, type RebuildReport, rebuild } from "./rebuild.ts";
import { type ViewStatus, statusOf } from "./status.ts";
import type { View } from "./view.ts";
import { type ViewToken, type WaitForOptions, waitFor } from "./waiting.ts";

export interface LookParts {
  readonly bell: ViewBell;
  readonly runtime: Runtime;
  readonly speech: Speech;
}

/** One view: its rows, and how far it has come. */
export class ViewLook<State = unknown> extends RowReader<State> {
  readonly #open: OpenView;
  readonly #parts: LookParts;

  constructor(open: OpenView, parts: LookParts) {
    super(open.definition, open.store.views);
    this.#open = open;
    this.#parts = parts;
  }

  /**
   * Resolves when the message is taken, by its token: what `send`, `publish` or `append` answered. That of a command means the first message of those
   * that it caused. One that is older than what its row has counts as taken. Told by a COMMIT of this process at once, of others within 250 ms. Errors:
   * VIEW_BEHIND after `deadlineMs`; OPTION_INVALID; BUFFER_FULL above 10,000 who wait; the reason of `signal`.
   */
  async waitFor(token: ViewToken, options: WaitForOptions = {}): Promise<void> {
    return waitFor({ ...this.#open, ...this.#parts }, token, options);
  }

  /**
   * Builds all rows anew, with the reducers as they are now, while those that are there are read: from its streams, which its group reads again from
   * their start, and by its backfill. What comes meanwhile is taken by both, and of a backfill nothing that is older. When it has caught up, the new
   * rows are read, all at once. Where it rejects, or its process ends, the old ones stay. Errors: NOT_SUPPORTED where nobody gives the past of a source
   * again; DEADLINE_EXCEEDED; LOCK_LOST when another rebuild begins; what the backfill threw; STATE_INVALID where retention took what it needs.
   */
  async rebuild(options: RebuildOptions = {}): Promise<RebuildReport> {
    return rebuild({ open: this.#open, ...this.#parts }, options);
  }

  async status(): Promise<ViewStatus> {
    const { service, store } = this.#open;
    return statusOf(service, store, await addressesOf(this.#parts.runtime));
  }
}

/** The views that this process keeps. */
export class AllViews {
  readonly #views: OpenViews;
  readonly #parts: LookParts;

  constructor(views: OpenViews, parts: LookParts) {
    this.#views = views;
    this.#parts = parts;
  }

  /** How far each has come. */
  async status(): Promise<readonly ViewStatus[]> {
    const addresses = await addressesOf(this.#parts.runtime);
    return Promise.all(
      this.#views.kept.map(({ service, store }) => statusOf(service, store, addresses)),
    );
  }

  /** As `bus.views(view).waitFor`. */
  async waitFor(view: View, token: ViewToken, options: WaitForOptions = {}): Promise<void> {
    return waitFor({ ...this.#views.find(view.name), ...this.#parts }, token, options);
  }
}

/** Of the brokers that answer. */
async function addressesOf({ brokers, environment }: Runtime): Promise<readonly AddressState[]> {
  const looks = brokers.map(({ transport }) =>
    answering(environment, transport.inspection.addresses()).catch(() => []),
  );
  return (await Promise.all(looks)).flat();
}
