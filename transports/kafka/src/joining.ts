import { parsedJson } from "@waybill/core/adapter";
import {
  decodeConsumerProtocolAssignment,
  decodeConsumerProtocolSubscription,
  encodeConsumerProtocolAssignment,
  encodeConsumerProtocolSubscription,
} from "@platformatic/kafka";
import { type Claim, type PartitionKey, assign, byTopic, keysOf, orphans } from "./assignment.ts";

/** How a member that leads its group gets to know the others. */
export interface Joined {
  readonly generationId: number;
  readonly memberId: string;
  readonly leader: string;
  readonly protocolName: string | null;
  readonly members: readonly { readonly memberId: string; readonly metadata: Buffer }[];
}

/** That a group shall go on elsewhere; stays in force as long as who asks is a member. */
export interface SeekRequest {
  /** Higher than that of every seek before. */
  readonly number: number;
  readonly offsets: readonly (readonly [key: PartitionKey, offset: number])[];
}

/** What a member says when it joins. */
export interface Said extends Omit<Claim, "member"> {
  readonly seek?: SeekRequest;
}

/** What a member is told. */
export interface Assignment {
  readonly keys: readonly PartitionKey[];
  readonly seeks: readonly SeekRequest[];
  /** Nobody has them and nobody wants them. */
  readonly orphans: readonly PartitionKey[];
}

export const protocolType = "consumer";
/** Nobody else's: who joins this group with another one is refused, because he does not know of what is in hand. */
export const protocol = "waybill";
const subscriptionVersion = 2;
const assignmentVersion = 0;

/** What a member says when it joins, in the form of Kafka's own consumers, so that Kafka's tools can show it. */
export function writeClaim(
  { owned, generation, leaving, seek }: Said,
  topics: readonly string[],
): Buffer {
  return encodeConsumerProtocolSubscription({
    version: subscriptionVersion,
    topics: [...topics],
    userData: JSON.stringify({ leaving, seek }),
    ownedPartitions: byTopic(owned),
    generationId: generation,
  });
}

/** Who reads what from now on, as the leader of the group decides. */
export function assignments(
  { members }: Pick<Joined, "members">,
  partitions: readonly PartitionKey[],
): { memberId: string; assignment: Buffer }[] {
  const claims = members.map(({ memberId, metadata }) => readClaim(memberId, metadata));
  const seeks = claims
    .flatMap(({ seek }) => seek ?? [])
    .toSorted((one, other) => one.number - other.number);
  const userData = JSON.stringify({ seeks, orphans: orphans(partitions, claims) });
  return [...assign(partitions, claims)].map(([memberId, share]) => ({
    memberId,
    assignment: encodeConsumerProtocolAssignment({
      version: assignmentVersion,
      assignedPartitions: byTopic(share),
      userData,
    }),
  }));
}

export function readAssignment(assignment: Buffer): Assignment {
  if (assignment.byteLength === 0) return { keys: [], seeks: [], orphans: [] };
  const { assignedPartitions, userData } = decodeConsumerProtocolAssignment(assignment);
  const told = Object(parsedJson(userData.toString())) as Partial<Assignment>;
  const { seeks = [], orphans: left = [] } = told;
  return { keys: keysOf(assignedPartitions), seeks, orphans: left };
}

function readClaim(member: string, metadata: Buffer): Claim & Pick<Said, "seek"> {
  const { ownedPartitions, generationId, userData } = decodeConsumerProtocolSubscription(metadata);
  const { leaving, seek } = Object(parsedJson(userData.toString())) as Partial<Said>;
  return {
    member,
    owned: keysOf(ownedPartitions),
    generation: generationId,
    leaving: leaving === true,
    ...(seek !== undefined && { seek }),
  };
}
