import type { Envelope } from "../envelope.ts";
import { WaybillError, messageOf } from "../errors.ts";
import type { Entry } from "../handling/entry.ts";
import type { Responder } from "../ports/channel.ts";
import type { Runtime } from "../runtime.ts";
import { within } from "../within.ts";
import { FeedSession } from "./feed-session.ts";
import { closingFrame } from "./frames.ts";
import type { Inbox } from "./inbox.ts";

/** Feeds that one process serves at a time over the transport; in the process, as many of each address. */
export const sessionsMax = 1_000;

/** The serving side of feeds over a transport. */
export class FeedServer {
  readonly #runtime: Runtime;
  readonly #inbox: Inbox;
  readonly #sessions = new Map<FeedSession, string>();

  constructor(runtime: Runtime, inbox: Inbox) {
    this.#runtime = runtime;
    this.#inbox = inbox;
  }

  /** Feeds of one address that are open. */
  count(address: string): number {
    let count = 0;
    for (const each of this.#sessions.values()) if (each === address) count += 1;
    return count;
  }

  /** Accepts a feed and settles its request: from here on the two processes talk directly, and a death is noticed by silence. */
  async start({ delivery }: Entry, at: { address: string; responder: Responder }): Promise<void> {
    await this.#inbox.ready();
    const request = delivery.envelope;
    // The request may be delivered twice; the feed is served once.
    if (!this.#inbox.has(request.header.correlationid ?? "")) {
      if (this.#sessions.size < sessionsMax)
        this.#run(
          new FeedSession(this.#runtime, this.#inbox, { request, responder: at.responder }),
          at.address,
        );
      else await this.#refuse(request);
    }
    await delivery.settle({ kind: "complete" });
  }

  /** Ends the feeds of one address with an error that tells the callers to open them again. Answers how many handlers had not ended by the deadline. */
  async stop(address: string, deadlineMs: number): Promise<number> {
    const own = [...this.#sessions]
      .filter(([, each]) => each === address)
      .map(([session]) => session);
    const ended = await Promise.all(
      own.map((session) => within(this.#runtime.environment, session.stop(), deadlineMs)),
    );
    return ended.filter((each) => !each).length;
  }

  #run(session: FeedSession, address: string): void {
    this.#sessions.set(session, address);
    session
      .run()
      .catch((error: unknown) =>
        this.#runtime.logger.error(`A feed of "${address}" ended badly: ${messageOf(error)}`),
      )
      .finally(() => this.#sessions.delete(session));
  }

  async #refuse({ header }: Envelope): Promise<void> {
    const answer = closingFrame(this.#runtime, header, tooManyFeeds());
    await this.#inbox.send(header.replyto ?? "", [
      { ...answer, header: { ...answer.header, sequence: "0" } },
    ]);
  }
}

export function tooManyFeeds(): WaybillError {
  return new WaybillError(
    "BUFFER_FULL",
    `This process serves ${sessionsMax} feeds already. Open it again later.`,
    { retryable: true },
  );
}
