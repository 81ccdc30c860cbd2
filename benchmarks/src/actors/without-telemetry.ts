/**
 * Loaded into every process that is measured: hides OpenTelemetry, which this repository installs for its tests
 * and a newcomer's project does not have. `WAYBILL_BENCH_TELEMETRY=1` leaves it visible.
 */
import { registerHooks } from "node:module";

if (process.env["WAYBILL_BENCH_TELEMETRY"] !== "1") {
  registerHooks({
    resolve: (specifier, context, next) => {
      if (specifier === "@opentelemetry/api") throw new Error("hidden from the benchmark");
      return next(specifier, context);
    },
  });
}
