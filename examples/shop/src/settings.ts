/** What can be turned without touching code. */
export interface Settings {
  /** SHOP_DECLINES: share of the payments that the bank declines, 0 to 1. */
  readonly declines: number;
  /** SHOP_ERRORS: share of the calls to the bank that fail and may work the next time, 0 to 1. */
  readonly errors: number;
  /** SHOP_SEED: draws the unlucky ones. */
  readonly seed: number;
  /** SHOP_DELIVERY_MS: how long a parcel travels. */
  readonly deliveryMs: number;
}

export const settingsDefault: Settings = {
  declines: 0.05,
  errors: 0.25,
  seed: 1,
  deliveryMs: 1_500,
};

type Variables = Readonly<Record<string, string | undefined>>;

export function readSettings(env: Variables): Settings {
  const read = (name: string, fallback: number, most: number): number => {
    const value = Number(env[name] ?? fallback);
    if (value >= 0 && value <= most) return value;
    throw new RangeError(`${name} is "${env[name]}"; give a number from 0 to ${most}.`);
  };
  return {
    declines: read("SHOP_DECLINES", settingsDefault.declines, 1),
    errors: read("SHOP_ERRORS", settingsDefault.errors, 1),
    seed: read("SHOP_SEED", settingsDefault.seed, 1_000_000_000),
    deliveryMs: read("SHOP_DELIVERY_MS", settingsDefault.deliveryMs, 3_600_000),
  };
}
