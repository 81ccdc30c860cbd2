import { type Verbs, sleep, systemEnvironment } from "waybill";
import { SensorReadings } from "../contracts/telemetry.ts";

const vans = ["van-1", "van-2", "van-3"];
const everyMs = 2_000;

/** Every van reports how cold it is inside, until the signal is aborted. */
export async function driveVans(
  bus: Verbs<typeof SensorReadings>,
  signal: AbortSignal,
): Promise<void> {
  const { clock, timers } = systemEnvironment;
  const celsius = new Map(vans.map((van) => [van, 4]));
  while (!signal.aborted) {
    for (const [device, before] of celsius) {
      const now = Math.round((before + systemEnvironment.random() - 0.5) * 10) / 10;
      celsius.set(device, Math.min(8, Math.max(0, now)));
      await bus.append(SensorReadings, {
        device,
        celsius: now,
        at: new Date(clock.now()).toISOString(),
      });
    }
    await sleep(timers, everyMs, signal).catch(() => undefined);
  }
}
