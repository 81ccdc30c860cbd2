import type { AnyContract } from "../wiring/uses.ts";
import { duration } from "./duration.ts";
import type { Explanation, Taker } from "./explanation.ts";

type Failures = Explanation["onFailure"];

/** What becomes of a message when something goes wrong, in the order of its way. */
export function failuresOf(contract: AnyContract, takers: readonly Taker[]): Failures {
  if (contract.kind === "query" || contract.kind === "feed") return callFailures(contract.kind);
  const crashed = takers.map(({ retry }) => retry?.attempts ?? 0);
  const limit = crashed.length === 0 ? "the attempts of its handler" : crashed.join(" or ");
  return [
    ...absence(contract),
    {
      when: "its body cannot be read, does not fit the schema, or is of a newer version",
      outcome: "it is a dead letter at once (DECODE_FAILED, MESSAGE_INVALID, VERSION_UNKNOWN)",
    },
    {
      when: "the handler throws what may pass (refused connections, timeouts, retryable: true, anything unknown) or returns retry()",
      outcome:
        "it is retried as above, after retryAfterMs or afterMs where one is given; then it is a dead letter (HANDLER_FAILED)",
    },
    ...takers.flatMap(({ handler, timeoutMs }) =>
      timeoutMs === undefined
        ? []
        : [
            {
              when: `${handler} does not end within ${duration(timeoutMs)}`,
              outcome:
                "its signal is aborted, a second later it is given up, and the message is retried as above (HANDLER_TIMED_OUT)",
            },
          ],
    ),
    {
      when: "the handler throws what will not pass (retryable: false, 401, 403, TypeError and its kind) or returns deadLetter()",
      outcome: "it is a dead letter at once (HANDLER_FAILED)",
    },
    {
      when: "the process dies or stalls while it handles it",
      outcome: `it comes again when its lock has run out, at most ${limit} times in all; then it is a dead letter (HANDLER_CRASHED)`,
    },
    {
      when: "the lock is lost while the handler runs",
      outcome:
        "the signal of the handler is aborted, what it sent does not leave, and the message comes again",
    },
    ...(contract.kind === "stream"
      ? []
      : [
          {
            when: "ttlMs has passed before it is handled",
            outcome: "it is a dead letter (EXPIRED); without ttlMs it waits without end",
          },
          {
            when: "the handler returns defer()",
            outcome: "it is set aside until bus.deferred.resume",
          },
        ]),
    {
      when: "the handler fails in any way",
      outcome: "nothing that it sent leaves",
    },
  ];
}

function absence({ kind }: AnyContract): Failures {
  if (kind === "event")
    return [
      {
        when: "no service subscribes to its type",
        outcome: 'the newest 10,000 are kept as dead letters under "topic/" (SUBSCRIBER_MISSING)',
      },
      { when: "no rule of a subscription fits", outcome: "nobody gets it, and that is no failure" },
    ];
  if (kind === "stream")
    return [
      {
        when: "retention ends before a group has read it",
        outcome: "it is gone for that group; size retention for the slowest",
      },
    ];
  return [{ when: "nobody handles it", outcome: "it waits in its queue, and health() says so" }];
}

function callFailures(kind: "query" | "feed"): Failures {
  const failed = kind === "query" ? "ANSWER_FAILED" : "FEED_FAILED";
  return [
    kind === "query"
      ? {
          when: "no answer comes within timeoutMs (default 10 s, never longer than the caller's own deadline)",
          outcome: "the caller has DEADLINE_EXCEEDED, and a late request is not begun",
        }
      : {
          when: "the server falls silent for 6 s",
          outcome: "the caller has FEED_FAILED; a caller that falls silent ends the handler",
        },
    {
      when: "the handler throws",
      outcome: `the caller has ${failed}; nothing is retried behind its back`,
    },
    {
      when: "what comes back does not fit the schema",
      outcome: "the caller has ANSWER_INVALID",
    },
    {
      when: "the caller aborts its signal or leaves",
      outcome: "the signal of the handler is aborted",
    },
  ];
}
