import { WaybillError, messageOf } from "../errors.ts";
import type { ReceiveOptions, Topology } from "../ports/transport.ts";
import { compileRule } from "../rules.ts";

/** Throws WIRING_INVALID for a rule that nobody could evaluate. */
export function assertRules({ subscriptions }: Pick<Topology, "subscriptions">): void {
  for (const { accepts } of subscriptions)
    for (const { where } of accepts)
      try {
        if (where !== undefined) compileRule(where);
      } catch (cause) {
        throw new WaybillError("WIRING_INVALID", `A rule cannot be read: ${messageOf(cause)}.`, {
          cause,
        });
      }
}

/** Throws OPTION_INVALID for a bound that lets nothing through. */
export function assertReceiving(options: ReceiveOptions): void {
  for (const name of ["prefetch", "prefetchBytes", "lockMs", "sessions"] as const) {
    if ((options[name] ?? 1) >= 1) continue;
    throw new WaybillError(
      "OPTION_INVALID",
      `receive({ ${name} }) takes a number from 1, not ${options[name]}.`,
    );
  }
}
