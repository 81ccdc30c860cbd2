import { embedded } from "@waybill/broker";
import { type Schema, command } from "@waybill/contracts";
import { connect, service } from "@waybill/core";
import { sqlite } from "./index.ts";

export const everyMs = 1_000;

const due: Schema<string> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as string }) },
};
const Tick = command("kill.tick", { input: due });

/** The process: `schedule-kill.fixture.ts <directory>`. Each second one of them sends a tick, and one of them writes it down. */
if (import.meta.main) await run(process.argv[2] ?? "");

async function run(directory: string): Promise<void> {
  const store = sqlite({ file: `${directory}/store.db` });
  const ticking = service("ticking", { sends: [Tick], store })
    .schedule("ticks", {
      everyMs,
      contract: Tick,
      missed: "all",
      missedMax: 1_000,
      input: (firing) => firing.due.toISOString(),
    })
    .handle(
      Tick,
      (text, { transaction }) => {
        transaction.prepare("insert into effect (text) values (?)").run(text);
      },
      { lockMs: 1_000, retry: { attempts: 1_000 } },
    );
  const bus = await connect({ transport: embedded({ directory }), services: [ticking] });
  process.on("message", () => void bus.close().then(() => process.exit()));
  process.send?.("ready");
}
