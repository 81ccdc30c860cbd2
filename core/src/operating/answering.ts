import { WaybillError } from "../errors.ts";
import type { Environment } from "../ports/environment.ts";
import { within } from "../within.ts";

/** A broker that is out of reach may take any time to say so; who only looks waits no longer than this. */
export const answerMsMax = 5_000;

/** What a look into a broker answers. Rejects with TRANSPORT_FAILED when it takes longer than `answerMsMax`. */
export async function answering<Answer>(
  environment: Environment,
  look: Promise<Answer>,
): Promise<Answer> {
  if (await within(environment, look, answerMsMax)) return look;
  throw new WaybillError(
    "TRANSPORT_FAILED",
    `Nothing was heard from it for ${answerMsMax} ms. Is it running, and in reach?`,
    { retryable: true },
  );
}
