import type { Event } from "@waybill/contracts";
import type { Envelope } from "../envelope.ts";
import { messageOf } from "../errors.ts";
import type { Environment } from "../ports/environment.ts";
import type { EventRows } from "../ports/event-rows.ts";
import type { Logger } from "../ports/logger.ts";
import type { Outgoing } from "../ports/transport.ts";
import type { RecordedHeader } from "../speaking/recorded.ts";
import { RaceLost } from "../sagas/refusal.ts";
import type { Decision, Occurrence } from "./decision.ts";
import type { DeciderDefinition } from "./definition.ts";
import type { StreamStanding } from "./folding.ts";
import { type EventMetadata, fingerprintOf, streamOf, writeSnapshot } from "./record.ts";

export interface Recording {
  readonly definition: DeciderDefinition;
  readonly rows: EventRows;
  readonly environment: Pick<Environment, "clock" | "id">;
  readonly logger: Logger;
  /** The command, where it came as a message. */
  readonly command: Envelope | undefined;
  readonly prepare: (
    event: Event,
    payload: unknown,
    recorded: RecordedHeader & { readonly id: string },
  ) => Outgoing | Promise<Outgoing>;
}

/** What a decision left behind. */
export interface Recorded {
  readonly occurrences: readonly Occurrence[];
  readonly standing: StreamStanding;
  /** What is to be published, in order. */
  readonly outgoing: readonly Outgoing[];
  /** Names the stream, in the outbox. */
  readonly stream: string;
}

/** Appends what was decided, in the open transaction. Errors: `RaceLost` where somebody else has appended since; those of `Decision.end`. */
export async function record(
  decision: Decision,
  before: StreamStanding,
  recording: Recording,
): Promise<Recorded> {
  const { definition, rows, environment } = recording;
  const { name } = definition;
  const { key } = before;
  const { occurrences, standing } = await decision.end({
    now: environment.clock.now(),
    id: () => environment.id(),
    metadata: JSON.stringify(metadataOf(recording.command)),
  });
  const stream = `${name} ${key}`;
  if (occurrences.length === 0) return { occurrences, standing, outgoing: [], stream };
  const outgoing: Outgoing[] = [];
  for (const { happened, row } of occurrences) {
    if (!definition.publishes.includes(happened.event)) continue;
    const recorded = { id: row.id, subject: key, sequence: String(row.version) };
    outgoing.push(await recording.prepare(happened.event, happened.payload, recorded));
  }
  const isAppended = await rows.append(occurrences.map(({ row }) => row));
  if (!isAppended) throw streamRace(name, key);
  await keepSnapshot(before, standing, recording);
  return { occurrences, standing, outgoing, stream };
}

export function streamRace(name: string, key: string): RaceLost {
  return new RaceLost(
    "VERSION_CONFLICT",
    `Another command appended to "${key}" of the decider "${name}" at the same time. It is decided again.`,
    { decider: name, key },
  );
}

/** The events are the truth, so that a state that cannot be kept holds nothing up. */
async function keepSnapshot(
  before: StreamStanding,
  { key, version, state }: StreamStanding,
  { definition, rows, logger }: Recording,
): Promise<void> {
  const { snapshotEvery } = definition;
  if (snapshotEvery === 0 || version - before.snapshotAt < snapshotEvery) return;
  let body: string;
  try {
    body = await writeSnapshot(definition, state);
  } catch (error) {
    logger.error(
      `The decider "${definition.name}" cannot keep a snapshot: ${messageOf(error)} Its streams are read from their beginning meanwhile. Let its state be JSON that its schema takes, or say snapshotEvery: false.`,
      { key, version },
    );
    return;
  }
  const fingerprint = fingerprintOf(definition);
  await rows.keep({ ...streamOf(definition, key), version, fingerprint, body });
}

function metadataOf(command: Envelope | undefined): EventMetadata {
  if (command === undefined) return {};
  const { id, conversationid, traceparent } = command.header;
  return {
    causationId: id,
    conversationId: conversationid,
    ...(traceparent !== undefined && { traceparent }),
  };
}
