export type LogFields = Readonly<Record<string, unknown>>;

/** Where Waybill's own words go. Any logger with these four methods fits: pino, winston's child loggers, console. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}
