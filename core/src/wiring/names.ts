/**
 * Names are addresses on every broker, so the rules are those that all of them allow: Azure Service Bus takes
 * subscriptions of 50 characters, Kafka topics of 249 with dots, dashes and letters.
 */
const contractName = /^[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*$/;
const serviceName = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
const attributeName = /^[a-z][A-Za-z0-9]*$/;
const contractNameMax = 120;
const serviceNameMax = 50;
const reservedPrefixes = ["waybill.", "replies."];
const reservedAttributes = ["and", "or", "not"];

/** What is wrong with a contract's name, queue or topic; undefined when nothing is. */
export function contractNameFault(name: unknown): string | undefined {
  if (typeof name !== "string" || !contractName.test(name))
    return 'use lower-case words joined by dots and dashes, like "ordering.place-order"';
  if (name.length > contractNameMax)
    return `use at most ${contractNameMax} characters, this has ${name.length}`;
  const reserved = reservedPrefixes.find((prefix) => name.startsWith(prefix));
  return reserved && `"${reserved}" is reserved for Waybill itself`;
}

/** What is wrong with the name of a service, subscription or group; undefined when nothing is. */
export function serviceNameFault(name: unknown): string | undefined {
  if (typeof name !== "string" || !serviceName.test(name))
    return 'use lower-case words joined by dashes, like "order-history"';
  return name.length > serviceNameMax
    ? `use at most ${serviceNameMax} characters, this has ${name.length}`
    : undefined;
}

/** What is wrong with an event attribute's name; undefined when nothing is. */
export function attributeNameFault(name: string): string | undefined {
  if (!attributeName.test(name)) return "use letters and digits, a lower-case letter first";
  return reservedAttributes.includes(name) ? "and, or and not join rules" : undefined;
}
