import type { Duplex } from "node:stream";

/** What is written to a stream in one breath leaves in one piece: amqplib writes each message by itself, which is a call of the system for every one. */
export function gatherWrites(stream: Duplex): void {
  const write = stream.write.bind(stream) as (...args: readonly unknown[]) => boolean;
  let isGathering = false;
  const gathering = (...args: readonly unknown[]): boolean => {
    if (!isGathering) {
      isGathering = true;
      stream.cork();
      queueMicrotask(() => {
        isGathering = false;
        stream.uncork();
      });
    }
    return write(...args);
  };
  stream.write = gathering;
}
