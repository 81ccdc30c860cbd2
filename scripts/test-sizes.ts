/**
 * How much the long tests do where time does not matter, by the variable that sets it (`npm run test:full`). What they do unasked stands in each
 * of them: enough for every planted bug, in minutes. `CONTRIBUTING.md` lists both.
 */
export const fullSizes: Readonly<Record<string, string>> = {
  WAYBILL_RUNS: "20000",
  WAYBILL_KILLS: "1000",
  WAYBILL_STOPS: "20",
  WAYBILL_DAMAGED_FILES: "300",
  WAYBILL_DISK_FULL: "20",
  WAYBILL_CRASH_POINTS: "1000",
  WAYBILL_SUSPENSIONS: "100",
  WAYBILL_INPUTS: "1000000",
  WAYBILL_SOAK_MINUTES: "15",
  WAYBILL_ORDERS: "1000",
};
