import { WaybillError } from "@waybill/core";
import type { Connection } from "./connection.ts";
import { pragma } from "./pragma.ts";
import type { SendLimits } from "../queues/send.ts";
import { Refusal } from "./transaction.ts";

/** Kept above the quota so that claiming and settling, which move small rows, still work when it is used up. */
const reserveShare = 0.05;
const reservePagesMin = 64;

/** The soft bound on stored data. Full files stay full on disk; the room of settled messages is used again. */
export function quotaOf({
  db,
  settings,
  file,
}: Pick<Connection, "db" | "settings" | "file">): SendLimits {
  const { quotaBytes } = settings;
  if (quotaBytes === undefined) return { refuseWhenFull: () => {} };
  const pageBytes = pragma(db, "page_size") as number;
  const pagesMax = Math.floor(quotaBytes / pageBytes);
  db.exec(
    `pragma max_page_count = ${pagesMax + Math.max(reservePagesMin, Math.ceil(pagesMax * reserveShare))}`,
  );
  const pageCount = db.prepare("pragma page_count");
  const freeCount = db.prepare("pragma freelist_count");
  for (const statement of [pageCount, freeCount]) statement.setReturnArrays(true);
  return {
    refuseWhenFull: () => {
      const [pages] = pageCount.get() as unknown as [number];
      const [free] = freeCount.get() as unknown as [number];
      if (pages - free < pagesMax) return;
      throw new Refusal(
        new WaybillError(
          "STORAGE_FULL",
          `"${file}" has reached its quota of ${quotaBytes} bytes. Handle or discard waiting messages, or raise embedded({ quotaBytes }).`,
          {
            retryable: true,
            details: { file, quotaBytes },
          },
        ),
      );
    },
  };
}
