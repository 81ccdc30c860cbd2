import { type Issue, type Schema, validate as check } from "@waybill/contracts";
import { WaybillError } from "../errors.ts";
import type { IncomingStep, OutgoingStep } from "../handling/pipeline.ts";
import { inputSchema } from "../wiring/route.ts";

/** What is not what the contract says never reaches a handler. Error: MESSAGE_INVALID with the issues. */
export const validate: IncomingStep = {
  name: "validate",
  wrap: (next, { schema, contract }) => {
    return (message) => {
      let result;
      try {
        result = check(schema, message.value);
      } catch (error) {
        return Promise.reject(schemaThrew(contract.name, error));
      }
      if (result instanceof Promise) {
        return result.then(
          (late) => {
            message.value = accepted(late, contract.name, "received");
            return next(message);
          },
          (error: unknown) => Promise.reject(schemaThrew(contract.name, error)),
        );
      }
      try {
        message.value = accepted(result, contract.name, "received");
      } catch (error) {
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- passed on as it came
        return Promise.reject(error);
      }
      return next(message);
    };
  },
};

/** A wrong message fails where it is made, in the sender's own stack. Error: MESSAGE_INVALID with the issues. */
export const validateOutgoing: OutgoingStep = {
  name: "validate",
  wrap: (next, contract) => {
    const schema = inputSchema(contract);
    return (message) => {
      let result;
      try {
        result = check(schema, message.value);
      } catch (error) {
        throw schemaThrew(contract.name, error);
      }
      if (result instanceof Promise) {
        return result.then(
          (late) => {
            accepted(late, contract.name, "to be sent");
            return next(message);
          },
          (error: unknown) => {
            throw schemaThrew(contract.name, error);
          },
        );
      }
      accepted(result, contract.name, "to be sent");
      return next(message);
    };
  },
};

/** The validated value, or MESSAGE_INVALID. */
export async function validated(
  schema: Schema<any>,
  value: unknown,
  naming: { contract: string; what: string },
): Promise<unknown> {
  return accepted(await check(schema, value), naming.contract, naming.what);
}

type Result = { readonly value: unknown } | { readonly issues: readonly Issue[] };

function accepted(result: Result, contract: string, what: string): unknown {
  // Some schemas give `issues: undefined` beside the value.
  if ("issues" in result && result.issues !== undefined)
    throw invalid(result.issues, contract, what);
  return (result as { readonly value: unknown }).value;
}

function invalid(issues: readonly Issue[], contract: string, what: string): WaybillError {
  const list = issues
    .map(({ path, message }) => (path === "" ? message : `${path}: ${message}`))
    .join("; ");
  return new WaybillError(
    "MESSAGE_INVALID",
    `"${contract}" ${what} does not fit its contract: ${list}`,
    { details: { issues } },
  );
}

function schemaThrew(contract: string, cause: unknown): WaybillError {
  return new WaybillError(
    "MESSAGE_INVALID",
    `The schema of "${contract}" threw instead of naming issues. Mend the schema; a message that came in can then be replayed.`,
    { cause },
  );
}
