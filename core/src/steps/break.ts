import type { CircuitBreaker } from "../flow/circuit-breaker.ts";
import type { Incoming } from "../handling/message.ts";
import type { IncomingStep } from "../handling/pipeline.ts";
import { addressOf } from "../ports/transport.ts";
import { isThenable } from "../thenable.ts";

/** Tells the circuit breaker how each delivery ended, its immediate retries included. Nothing where a handler has none. */
export function breaking(breakers: ReadonlyMap<string, CircuitBreaker>): IncomingStep {
  return {
    name: "break",
    wrap: (next, { source, options }) => {
      const breaker = breakers.get(addressOf(source));
      if (breaker === undefined || options.circuitBreaker === undefined) return next;
      const failed = ({ lifetime }: Incoming, error: unknown): void => {
        // Its lock is lost or the bus closes: that is why it failed.
        if (!lifetime.over) breaker.failed(lifetime, error);
      };
      return (message) => {
        let outcome;
        try {
          outcome = next(message);
        } catch (error) {
          failed(message, error);
          throw error;
        }
        if (!isThenable(outcome)) {
          breaker.succeeded(message.lifetime);
          return outcome;
        }
        return Promise.resolve(outcome).then(
          (late) => {
            breaker.succeeded(message.lifetime);
            return late;
          },
          (error: unknown) => {
            failed(message, error);
            throw error;
          },
        );
      };
    },
  };
}
