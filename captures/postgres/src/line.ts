import { Client, type Connection, escapeIdentifier, escapeLiteral } from "pg";
import type { Settings } from "./options.ts";

/** What values look like as text, whatever the server and the user are set to; and no statement ends because the broker is slow. */
const session = [
  "client_encoding=UTF8",
  "datestyle=ISO",
  "intervalstyle=postgres",
  "timezone=UTC",
  "extra_float_digits=3",
  "bytea_output=hex",
  "statement_timeout=0",
  "lock_timeout=0",
  "idle_in_transaction_session_timeout=0",
]
  .map((setting) => `-c ${setting}`)
  .join(" ");

const asText = { getTypeParser: () => (text: string) => text };
/** How long the server may take to let a line go. */
const finishMsMax = 2_000;

type Row = Readonly<Record<string, string | null>>;

/** A connection to a database; with `replication` one that can read the log, and knows simple statements only. All values are text. */
export async function openClient(
  { url, connectMsMax }: Settings,
  replication: boolean,
): Promise<Client> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: connectMsMax,
    keepAlive: true,
    application_name: "waybill capture",
    options: session,
    types: asText,
    ...(replication && { replication: "database" }),
  });
  // A query that is running rejects by itself.
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** The replication line of one session. */
export class ReplicationLine implements AsyncDisposable {
  readonly #client: Client;
  #copy: CopyBoth | undefined;

  private constructor(client: Client) {
    this.#client = client;
  }

  static async open(settings: Settings): Promise<ReplicationLine> {
    return new ReplicationLine(await openClient(settings, true));
  }

  async rows(text: string): Promise<readonly Row[]> {
    return (await this.#client.query<Row>(text)).rows;
  }

  /** Rows as lists, in the order of the columns. */
  async lists(text: string): Promise<readonly (readonly (string | null)[])[]> {
    return (await this.#client.query<(string | null)[]>({ text, rowMode: "array" })).rows;
  }

  /** Reads the log from the slot's place. Resolves when the server ends it, rejects when it refuses or the line breaks. */
  read(settings: Settings, take: (chunk: Buffer) => void): Promise<void> {
    const { slot, publication } = settings;
    // publication_names is a list of names inside a literal.
    const names = escapeLiteral(escapeIdentifier(publication));
    const text = `START_REPLICATION SLOT ${escapeIdentifier(slot)} LOGICAL 0/0 (proto_version '1', publication_names ${names})`;
    const copy = new CopyBoth(text, take);
    this.#copy = copy;
    this.#client.query(copy);
    return copy.ended;
  }

  /** The server's bytes wait with the server from now on. */
  pause(): void {
    this.#copy?.connection?.stream.pause();
  }

  resume(): void {
    this.#copy?.connection?.stream.resume();
  }

  /** Tells that all before `confirmed` need not be sent again. `ask`: the server shall answer, so that a dead line is noticed. */
  confirm(confirmed: bigint, { now, ask }: { now: number; ask: boolean }): void {
    const message = Buffer.alloc(1 + 8 * 4 + 1);
    message.write("r");
    for (const at of [1, 9, 17]) message.writeBigUInt64BE(confirmed, at);
    message.writeBigInt64BE((BigInt(Math.floor(now)) - epochMs) * 1_000n, 25);
    message.writeUInt8(ask ? 1 : 0, 33);
    this.#copy?.send(message);
  }

  /** Ends reading, so that the slot is free when it resolves; but no later than its deadline. */
  async finish(
    within: (work: Promise<unknown>, deadlineMs: number) => Promise<boolean>,
  ): Promise<void> {
    const copy = this.#copy;
    if (copy === undefined) return;
    this.resume();
    copy.finish();
    await within(copy.ended, finishMsMax);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end().catch(() => undefined);
  }
}

/** Between 1970 and 2000. */
const epochMs = 946_684_800_000n;

/** What a connection has beside its types: https://github.com/brianc/node-postgres/blob/master/packages/pg/lib/connection.js */
interface CopyConnection extends Connection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** The statement START_REPLICATION, which copies both ways until it is ended. The handlers are those that `pg` calls of a query. */
class CopyBoth {
  readonly #text: string;
  readonly #take: (chunk: Buffer) => void;
  readonly #end = Promise.withResolvers<void>();
  connection: CopyConnection | undefined;
  #isOver = false;

  constructor(text: string, take: (chunk: Buffer) => void) {
    this.#text = text;
    this.#take = take;
    this.#end.promise.catch(() => undefined);
  }

  get ended(): Promise<void> {
    return this.#end.promise;
  }

  submit(connection: Connection): void {
    this.connection = connection as CopyConnection;
    connection.query(this.#text);
  }

  send(message: Buffer): void {
    if (!this.#isOver) this.connection?.sendCopyFromChunk(message);
  }

  finish(): void {
    if (!this.#isOver) this.connection?.endCopyFrom();
    this.#isOver = true;
  }

  handleCopyData({ chunk }: { chunk: Buffer }): void {
    this.#take(chunk);
  }

  handleError(error: Error): void {
    this.#isOver = true;
    this.#end.reject(error);
  }

  handleReadyForQuery(): void {
    this.#isOver = true;
    this.#end.resolve();
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleCommandComplete(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
  handleCopyInResponse(): void {}
}
