/** `node kill.fixture.ts DIRECTORY URL PLANT`: captures to a broker on disk until it is killed. */
import { embedded } from "@waybill/broker";
import { type CaptureHost, type Service, connect } from "@waybill/core";
import { capture, captured } from "./index.ts";
import { Changes } from "./subject.fixture.ts";
import { reallyWait } from "./waiting.fixture.ts";

export type Plant = "none" | "confirms-early" | "counted-ids";

const table = (name: string) =>
  captured(name, { columns: { n: "number" }, stream: Changes, map: (change) => ({ ...change }) });

/** The bugs that the ledger must notice. */
const plants: Readonly<Record<Plant, (host: CaptureHost) => CaptureHost>> = {
  none: (host) => host,
  // The place in the log moves on though the broker has not confirmed.
  "confirms-early": (host) => {
    let last: Promise<void> = Promise.resolve();
    const deliver = async (batch: Parameters<CaptureHost["deliver"]>[0]): Promise<void> => {
      last = last.then(() => reallyWait(400)).then(() => host.deliver(batch));
      last.catch(() => undefined);
    };
    return { ...host, deliver };
  },
  // An id that says nothing of the change.
  "counted-ids": (host) => {
    let count = 0;
    return { ...host, prepare: (message) => host.prepare({ ...message, id: `c-${(count += 1)}` }) };
  },
};

if (import.meta.main) {
  const [directory = "", url = "", plant = "none"] = process.argv.slice(2);
  const made = capture("killed", {
    url,
    batchMax: 20,
    tables: [table("killed"), table("killed_too")],
  });
  const planted: Service = {
    ...made,
    capture: {
      name: made.capture.name,
      open: (host) => made.capture.open(plants[plant as Plant](host)),
    },
  };
  const bus = await connect({ transport: embedded({ directory }), services: [planted] });
  process.on("message", () => void bus.close().then(() => process.disconnect()));
  while ((await bus.health()).captures[0]?.state !== "capturing") await reallyWait(20);
  process.send?.("capturing");
}
