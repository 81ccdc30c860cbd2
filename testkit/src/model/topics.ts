import type { SubscriptionSpec } from "@waybill/core";

export const topicName = "t";

type Attributes = Readonly<Record<string, string | number>>;
interface Accepting {
  readonly spec: SubscriptionSpec;
  /** The same rule, in words of its own. */
  readonly wants: (type: string, attributes: Attributes) => boolean;
}

const eu = (region: unknown): boolean => region === "EU";
const spec = (name: string, accepts: SubscriptionSpec["accepts"]): SubscriptionSpec => ({
  topic: topicName,
  name,
  accepts,
});

/** What the two subscriptions accept; a command redeclares them. */
const variants: readonly (readonly Accepting[])[] = [
  [
    {
      spec: spec("s1", [{ type: "a", where: { region: "EU" } }]),
      wants: (type, { region }) => type === "a" && eu(region),
    },
    {
      spec: spec("s2", [{ type: "a" }, { type: "b", where: { n: { gt: 5 } } }]),
      wants: (type, { n }) => type === "a" || (type === "b" && Number(n) > 5),
    },
  ],
  [
    {
      spec: spec("s1", [
        { type: "a", where: { or: [{ region: "US" }, { n: { lte: 3 } }] } },
        { type: "c" },
      ]),
      wants: (type, { region, n }) =>
        type === "c" || (type === "a" && (region === "US" || Number(n) <= 3)),
    },
    { spec: spec("s2", [{ type: "b" }]), wants: (type) => type === "b" },
  ],
  [
    {
      spec: spec("s1", [{ type: "b", where: { region: { prefix: "E" } } }]),
      wants: (type, { region }) => type === "b" && eu(region),
    },
    {
      spec: spec("s2", [
        { type: "a", where: { not: { region: "EU" } } },
        { type: "a", where: { n: { in: [1, 2] } } },
      ]),
      wants: (type, { region, n }) => type === "a" && (!eu(region) || n === 1 || n === 2),
    },
  ],
];

export const variantCount: number = variants.length;

export function subscriptions(variant: number): readonly SubscriptionSpec[] {
  return accepting(variant).map((each) => each.spec);
}

/** Types that some subscription names. */
export function acceptingTypes(variant: number): ReadonlySet<string> {
  return new Set(accepting(variant).flatMap((each) => each.spec.accepts.map(({ type }) => type)));
}

/** Names of the subscriptions that take such an event. */
export function wanting(
  variant: number,
  { type, attributes }: { readonly type: string; readonly attributes: Attributes },
): readonly string[] {
  return accepting(variant)
    .filter(({ wants }) => wants(type, attributes))
    .map((each) => each.spec.name);
}

function accepting(variant: number): readonly Accepting[] {
  return variants[variant % variants.length] ?? [];
}
