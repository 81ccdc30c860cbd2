import { TcpFaultProxy, transportSuite } from "@waybill/testkit";
import { Cleaning } from "./cleaning.test.support.ts";
import { rabbitmq } from "./index.ts";

const port = 5672;
const url = `amqp://127.0.0.1:${port}`;

transportSuite("rabbitmq", {
  skip: { "defer.front": "a queue of RabbitMQ takes messages at its end only" },
  create: () => {
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
  },
});
