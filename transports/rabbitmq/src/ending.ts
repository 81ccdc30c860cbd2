import type { Channel, ChannelModel } from "amqplib";

/**
 * Ends a channel or a connection. Resolves when it is gone, whichever way, and never rejects. amqplib answers only when the server has said farewell:
 * who waits for that alone waits for ever where the line breaks first.
 */
export function ended(opened: Channel | ChannelModel): Promise<void> {
  return new Promise((resolve) => {
    const gone = (): void => resolve();
    opened.once("close", gone);
    opened.close().then(gone, gone);
  });
}

/** What is waited for on a channel. Rejects when the channel ends first: then amqplib leaves a message that was cut off in its middle unanswered. */
export async function whileOpen<Result>(channel: Channel, asked: Promise<Result>): Promise<Result> {
  const over = Promise.withResolvers<never>();
  let cause = new Error("the channel ended");
  const refused = (error: Error): void => void (cause = error);
  const gone = (): void => over.reject(cause);
  channel.on("error", refused).on("close", gone);
  try {
    return await Promise.race([asked, over.promise]);
  } finally {
    channel.off("error", refused).off("close", gone);
  }
}
