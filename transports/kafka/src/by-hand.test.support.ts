import type { Admin } from "@platformatic/kafka";
import { systemEnvironment } from "@waybill/core";

interface Definition {
  readonly name: string;
  readonly partitions: number;
  readonly config: readonly string[];
}

const { timers } = systemEnvironment;

/** As an operator does with Kafka's own tool, but for what is there, left out or set otherwise. */
export async function makeByHand(
  admin: Admin,
  data: unknown,
  change: (topic: Definition) => Definition | undefined = (topic) => topic,
): Promise<void> {
  const before = new Set(await admin.listTopics());
  const made: string[] = [];
  for (const each of (data as { readonly topics: readonly Definition[] }).topics) {
    const changed = change(each);
    if (changed === undefined || before.has(changed.name)) continue;
    const configs = changed.config.map((text) => {
      const [name = "", value = ""] = text.split("=");
      return { name, value };
    });
    const { name, partitions } = changed;
    await admin.createTopics({ topics: [name], partitions, replicas: 1, configs });
    made.push(name);
  }
  // The broker is told by its controller, somewhat later.
  for (;;) {
    const there = new Set(await admin.listTopics());
    if (made.every((name) => there.has(name))) return;
    await new Promise<void>((resolve) => timers.set(resolve, 20));
  }
}
