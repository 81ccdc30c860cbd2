export * from "./errors.ts"; export * from "./envelope.ts"; export * from "./ports/environment.ts"; export * from "./ports/logger.ts"; export * from "./ports/transport.ts"; export * from "./rules.ts"; export * from "./environment/system.ts";
export * from "./memory/index.ts";
