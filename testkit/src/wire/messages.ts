import {
  type Command,
  type Event,
  type Feed,
  type Query,
  type Schema,
  type Stream,
  command,
  event,
  feed,
  query,
  stream,
} from "@waybill/contracts";

/** The body of every message of the suite. */
export interface Letter {
  readonly text: string;
}

const Letter: Schema<Letter> = {
  "~standard": {
    version: 1,
    vendor: "wire-suite",
    validate: (value) => {
      const text: unknown = Object(value).text;
      return typeof text === "string"
        ? { value: { text } }
        : { issues: [{ message: "must be text", path: ["text"] }] };
    },
  },
};

export const Write: Command<"wire.write", Letter> = command("wire.write", { input: Letter });
export const Written: Event<"wire.written", Letter> = event("wire.written", { payload: Letter });
export const Letters: Stream<"wire.letters", Letter> = stream("wire.letters", {
  item: Letter,
  key: () => "all",
});
export const Read: Query<"wire.read", Letter, Letter> = query("wire.read", {
  input: Letter,
  output: Letter,
});
export const Follow: Feed<"wire.follow", Letter, Letter, Letter> = feed("wire.follow", {
  input: Letter,
  item: Letter,
  upstream: Letter,
});
