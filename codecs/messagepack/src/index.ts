export { messagePackCodec } from "./messagepack.ts";
