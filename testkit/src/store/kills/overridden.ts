/** `target` with some of its members replaced; whatever else it has, or gets one day, is its own. */
export function overridden<Target extends object>(
  target: Target,
  instead: Partial<Target>,
): Target {
  return new Proxy(target, {
    get: (_, name) => {
      if (Object.hasOwn(instead, name)) return Reflect.get(instead, name) as unknown;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}
