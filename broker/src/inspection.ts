import type { Inspection } from "@waybill/core";
import type { Connection } from "./connection.ts";

export function inspectionOf(_connection: Connection): Inspection {
  const none = async (): Promise<never> => { throw new Error("soon"); };
  return { addresses: none, list: none, replay: none, discard: none };
}
