import type { TcpFaultProxy } from "../faults/tcp-proxy.ts";

/** Something that the line between an application and its broker does on a bad day. */
export interface LineFault {
  /** Stable: `skip` names it. */
  readonly id: string;
  readonly what: string;
  /** A message may be handled twice: its confirmation or its acknowledgement was lost, or its lock ran out. */
  readonly repeats: boolean;
  readonly inflict: (proxy: TcpFaultProxy) => void;
  readonly lastsMs: number;
}

export const lineFaults: readonly LineFault[] = [
  {
    id: "reset",
    what: "connections are reset in the middle of a frame, both ways",
    repeats: true,
    inflict: (proxy) => {
      proxy.resetAfter(1_234, "toServer");
      proxy.resetAfter(4_321, "toClient");
    },
    lastsMs: 300,
  },
  {
    id: "half-open",
    what: "connections are half open: what the server says does not arrive",
    repeats: true,
    inflict: (proxy) => proxy.freeze(["toClient"]),
    lastsMs: 3_500,
  },
  {
    id: "swallowed-confirm",
    what: "confirmations are swallowed",
    repeats: true,
    inflict: (proxy) => proxy.swallow(["toClient"]),
    lastsMs: 300,
  },
  {
    id: "bytes",
    what: "single bytes arrive",
    repeats: false,
    inflict: (proxy) => proxy.shape({ chunkBytes: 1 }),
    lastsMs: 300,
  },
  {
    id: "latency",
    what: "the line is slow",
    repeats: false,
    inflict: (proxy) => proxy.shape({ latencyMs: 100 }),
    lastsMs: 500,
  },
  {
    id: "throttle",
    what: "the line is narrow",
    repeats: false,
    inflict: (proxy) => proxy.shape({ bytesPerSecond: 100_000 }),
    lastsMs: 500,
  },
  {
    id: "refused",
    what: "nobody listens for a while",
    repeats: true,
    inflict: (proxy) => {
      proxy.refuse();
      proxy.reset();
    },
    lastsMs: 1_000,
  },
];
