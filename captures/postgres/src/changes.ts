import { type CaptureHost, type Outgoing, WaybillError } from "@waybill/core";
import { broken } from "./bytes.ts";
import { type CapturedTable, type Change, tableName } from "./captured.ts";
import { lsnText } from "./lsn.ts";
import type { Settings } from "./options.ts";
import type { LogMessage, Relation } from "./pgoutput.ts";
import { Plan } from "./plans.ts";
import type { Found } from "./setup.ts";

export interface MessageParts {
  readonly settings: Settings;
  readonly host: CaptureHost;
  readonly found: Found;
}

type MessageOf<Kind extends LogMessage["kind"]> = Extract<LogMessage, { readonly kind: Kind }>;
type RowMessage = MessageOf<"insert" | "update" | "delete" | "truncate">;

/** Makes messages of the log's changes, in its order. */
export class Changes {
  readonly #parts: MessageParts;
  readonly #plans = new Map<number, readonly Plan[]>();
  /** The transaction whose changes are coming. */
  #transaction: MessageOf<"begin"> | undefined;
  /** The last change of the log, and how many before it had the same place: one record may hold many rows. */
  #at = -1n;
  #index = 0;

  constructor(parts: MessageParts) {
    this.#parts = parts;
  }

  get isInTransaction(): boolean {
    return this.#transaction !== undefined;
  }

  begin(message: MessageOf<"begin">): void {
    this.#transaction = message;
  }

  commit(): void {
    this.#transaction = undefined;
  }

  /** What a table looks like from here on. Error: STORAGE_INVALID for one that is not as it was declared. */
  learn(relation: Relation): void {
    const { settings, found } = this.#parts;
    const plans = settings.tables
      .filter(({ schema, table }) => schema === relation.schema && table === relation.table)
      .map((captured) => new Plan(captured, relation, found.baseTypes));
    this.#plans.set(relation.id, plans);
  }

  /** What is published for one change. Errors: STORAGE_INVALID, DECODE_FAILED, MESSAGE_INVALID, BODY_TOO_LARGE; no repetition mends them. */
  async messagesOf(lsn: bigint, message: RowMessage): Promise<readonly Outgoing[]> {
    this.#index = lsn === this.#at ? this.#index + 1 : 0;
    this.#at = lsn;
    const made: Outgoing[] = [];
    for (const id of message.kind === "truncate" ? message.relations : [message.relation]) {
      const plans = this.#plans.get(id);
      if (plans === undefined)
        throw broken(`a change names the table ${id}, which was not described`);
      // Of the tables that are emptied together each has its own.
      const part = message.kind === "truncate" ? `t${id}` : `${this.#index}`;
      const place = `${lsnText(lsn).replace("/", "-")}.${part}`;
      for (const plan of plans) {
        const value = await plan.map(this.#changeOf(plan, lsn, message));
        const what = `the ${message.kind} at ${lsnText(lsn)}`;
        if (value !== undefined)
          made.push(await outgoing(this.#parts, plan.captured, { value, place, what }));
      }
    }
    return made;
  }

  #changeOf(plan: Plan, lsn: bigint, message: RowMessage): Change<unknown> {
    const begun = this.#transaction;
    if (begun === undefined) throw broken("a change stands outside a transaction");
    const { transaction, committedAt } = begun;
    const moment = { lsn: lsnText(lsn), transaction, committedAt };
    switch (message.kind) {
      case "insert":
        return { ...moment, kind: "insert", row: plan.row(message.row) };
      case "update": {
        const { old } = message;
        const before = old === undefined ? undefined : plan.old(old);
        return { ...moment, kind: "update", row: plan.row(message.row, old), old: before };
      }
      case "delete":
        return { ...moment, kind: "delete", old: plan.old(message.old) };
      case "truncate":
        return { ...moment, kind: "truncate" };
    }
  }
}

interface Made {
  readonly value: unknown;
  /** Where in this database's history it stands. */
  readonly place: string;
  /** For a person. */
  readonly what: string;
}

/** Its id is the same whenever the same change is read again, in whatever process. */
export async function outgoing(
  { settings, host, found }: MessageParts,
  captured: CapturedTable,
  { value, place, what }: Made,
): Promise<Outgoing> {
  const { contract } = captured;
  const id = `${settings.slot}.${found.history}.${place}.${contract.name}`;
  try {
    return await host.prepare({ contract, value, id });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new WaybillError(
      cause instanceof WaybillError ? cause.code : "MESSAGE_INVALID",
      `${what} of ${tableName(captured)} cannot be published as "${contract.name}": ${why}`,
      { cause },
    );
  }
}
