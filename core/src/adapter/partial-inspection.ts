import type { Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type {
  AddressSettings,
  AddressState,
  GroupState,
  Inspection,
  ListQuery,
  MessageState,
  PurgeState,
  Resumed,
  SeekTarget,
  StoredMessage,
  Whereabouts,
} from "../ports/inspection.ts";
import type { LedgerEntry } from "../ports/ledger.ts";
import type { AsideState } from "./handles.ts";

/** For a broker that is not ours: it lets look at what was set aside, and keeps neither pauses nor books nor schedules that can be taken back. */
export abstract class PartialInspection implements Inspection {
  abstract addresses(): Promise<readonly AddressState[]>;
  abstract settings(): Promise<readonly AddressSettings[]>;
  abstract groups(stream: string): Promise<readonly GroupState[]>;
  abstract seek(stream: string, group: string, to: SeekTarget): Promise<GroupState>;
  abstract list(query: ListQuery): Promise<readonly StoredMessage[]>;
  abstract get(handle: string): Promise<StoredMessage | undefined>;
  abstract follow(handles: readonly string[]): Promise<readonly Whereabouts[]>;
  abstract replay(handles: readonly string[]): Promise<number>;
  abstract resumeDeferred(handle: string): Promise<Resumed>;
  abstract discard(handles: readonly string[]): Promise<number>;
  abstract replace(handle: string, envelope: Envelope): Promise<boolean>;
  abstract purge(address: string, state: PurgeState): Promise<number>;

  /** Who cannot, and where to look instead. */
  protected abstract readonly limits: { readonly cannot: string; readonly instead: string };

  pause(): Promise<void> {
    return Promise.reject(this.notSupported("pause a queue for all processes"));
  }

  resume(): Promise<boolean> {
    return Promise.reject(this.notSupported("pause a queue for all processes"));
  }

  ledger(): Promise<readonly LedgerEntry[]> {
    return Promise.reject(this.notSupported("keep books"));
  }

  /** What waits for its time is not told apart from what waits for its retry, or shares a place with what is for others. */
  cancel(): Promise<number> {
    return Promise.reject(this.notSupported("take back scheduled messages"));
  }

  /** Throws NOT_SUPPORTED for what does not lie aside. */
  protected asideOf(state: MessageState): AsideState {
    if (state === "dead" || state === "deferred") return state;
    throw this.notSupported(`list messages that are ${state}`);
  }

  protected notSupported(what: string): WaybillError {
    const { cannot, instead } = this.limits;
    return new WaybillError("NOT_SUPPORTED", `${cannot} cannot ${what}. ${instead}`);
  }
}
