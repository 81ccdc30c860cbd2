import { systemEnvironment } from "@waybill/core";
import { type ChaosSubject, TcpFaultProxy } from "@waybill/testkit";
import { Cleaning } from "./cleaning.test.support.ts";
import { rabbitmq } from "./index.ts";
import { makeByHand } from "./by-hand.test.support.ts";

export const port = 5672;
export const url: string = `amqp://127.0.0.1:${port}`;

/** The server that tests share, and ways to it that can go dead. */
export function subject(): ChaosSubject {
  const system = `test-${systemEnvironment.id().replaceAll("-", "").slice(-12)}`;
  const cleaning = new Cleaning(url, system);
  const proxies: TcpFaultProxy[] = [];
  const through = (by: number) =>
    cleaning.watch(rabbitmq({ url: `amqp://127.0.0.1:${by}`, heartbeatSeconds: 1, system }));
  return {
    factory: cleaning.watch(rabbitmq({ url, system })),
    target: { port },
    patienceMs: 30_000,
    through,
    detour: async () => {
      const proxy = await TcpFaultProxy.listen({ port });
      proxies.push(proxy);
      return {
        factory: through(proxy.port),
        cut: () => proxy.freeze(),
        mend: () => proxy.heal(),
      };
    },
    prepare: async (topology) => {
      cleaning.note(topology);
      await makeByHand(url, topology);
    },
    dispose: async () => {
      for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
      await cleaning.clean();
    },
  };
}
