import type { LogFields, Logger } from "./ports/logger.ts";

/** Warnings and errors as lines on standard error: the default, so that nothing bad passes in silence. */
export const consoleLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message, fields) => console.error(line("warn", message, fields)),
  error: (message, fields) => console.error(line("error", message, fields)),
};

function line(level: string, message: string, fields: LogFields = {}): string {
  const { stack, ...short } = fields;
  const rest = Object.keys(short).length === 0 ? "" : ` ${JSON.stringify(short)}`;
  return `waybill ${level}: ${message}${rest}${typeof stack === "string" ? `\n${stack}` : ""}`;
}
