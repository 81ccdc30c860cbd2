/** Sends bursts through the in-memory broker, then single messages, and prints which objects of these were made in the old generation. */
import { setFlagsFromString } from "node:v8";
import { runInThisContext } from "node:vm";
import { type Schema, command } from "@waybill/contracts";
import { type Incoming, connect, memory, service } from "@waybill/core";

setFlagsFromString("--allow-natives-syntax");
const isYoung = runInThisContext("(object) => %InYoungGeneration(object)") as (
  object: object,
) => boolean;

const burst = { rounds: 40, messages: 1_000 };
const singles = 300;

const input: Schema<{ readonly text: string }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => ({ value: value as { readonly text: string } }),
  },
};
const Work = command("young.work", { input });

const old: Record<string, number> = {};
let looks = false;
const handled = { count: 0 };

/** A step: it sees what every message brings with it, soon after that was made. */
function look(message: Incoming): void {
  const { envelope, delivery, lifetime } = message;
  const { message: stored } = delivery as unknown as { readonly message: { parcel: object } };
  const { header } = envelope;
  const { parcel } = stored;
  const objects = { message, envelope, header, delivery, lifetime, stored, parcel };
  for (const [name, object] of Object.entries(objects))
    if (object !== undefined && !isYoung(object)) old[name] = (old[name] ?? 0) + 1;
}

const working = service("young", { sends: [Work] }).handle(Work, (_value, context) => {
  handled.count += 1;
  if (looks && !isYoung(context)) old["context"] = (old["context"] ?? 0) + 1;
});
await using bus = await connect({
  transport: memory(),
  services: [working],
  steps: [
    {
      direction: "incoming",
      before: "decode",
      step: {
        name: "look",
        wrap: (next) => (message) => {
          if (looks) look(message);
          return next(message);
        },
      },
    },
  ],
});

async function send(count: number): Promise<void> {
  const end = handled.count + count;
  const text = "x".repeat(400);
  await Promise.all(Array.from({ length: count }, () => bus.send(Work, { text })));
  while (handled.count < end) await new Promise((resolve) => void setImmediate(resolve));
}

for (let round = 0; round < burst.rounds; round++) await send(burst.messages);
looks = true;
for (let single = 0; single < singles; single++) await send(1);
process.stdout.write(JSON.stringify({ done: handled.count, old }));
