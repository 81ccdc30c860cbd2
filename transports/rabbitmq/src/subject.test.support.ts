import { type SuiteSubject, TcpFaultProxy } from "@waybill/testkit";
import { Cleaning } from "./cleaning.test.support.ts";
import { rabbitmq } from "./index.ts";

export const port = 5672;
export const url: string = `amqp://127.0.0.1:${port}`;

/** The server that tests share, and ways to it that can go dead. */
export function subject(): SuiteSubject {
  const cleaning = new Cleaning(url);
  const proxies: TcpFaultProxy[] = [];
  return {
    factory: cleaning.watch(rabbitmq({ url })),
    detour: async () => {
      const proxy = await TcpFaultProxy.listen({ port });
      proxies.push(proxy);
      const detoured = `amqp://127.0.0.1:${proxy.port}`;
      return {
        factory: cleaning.watch(rabbitmq({ url: detoured, heartbeatSeconds: 1 })),
        cut: () => proxy.freeze(),
        mend: () => proxy.heal(),
      };
    },
    dispose: async () => {
      for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
      await cleaning.clean();
    },
  };
}
