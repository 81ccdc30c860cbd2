export { type EncryptionOptions, encryption } from "./encryption.ts";
export type { Key } from "./keys.ts";
export { type ReplayMemory, replayMemory } from "./replay.ts";
export {
  type ReplayOptions,
  type SigningAlgorithm,
  type SigningOptions,
  type TrustedKey,
  signing,
} from "./signing.ts";
