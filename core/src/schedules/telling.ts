import type { Logger } from "../ports/logger.ts";
import type { Declared, Decision } from "./decision.ts";

/** Logs what happened to a schedule that somebody should know. */
export function tell(
  { name, service, timing }: Declared,
  { told, row, fires }: Decision,
  logger: Logger,
): void {
  const named = `The schedule "${name}" of service "${service}"`;
  const next = row.nextAt === undefined ? "when it is resumed" : new Date(row.nextAt).toISOString();
  switch (told) {
    case "takenOver":
      logger.info(`${named} has another definition now, ${timing}; it is due next ${next}.`);
      break;
    case "revived":
      logger.info(`${named} was retired and is declared again; it is due next ${next}.`);
      break;
    case "clockMended":
      logger.warn(
        `${named} has fired for a time that is more than a day ahead: the clock was wrong then, or is now. It goes on from now and is due next ${next}.`,
      );
      break;
    case undefined:
  }
  const missed = fires.reduce((sum, each) => sum + each.missed, 0);
  if (missed > 0)
    logger.warn(`${named} has left out ${missed} due times that had passed before it could fire.`);
}
