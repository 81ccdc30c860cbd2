import { command, query, service } from "waybill";
import * as z from "zod";

const Address = z.object({
  street: z.string(),
  city: z.string(),
  postcode: z.string(),
  country: z.string(),
});

const Line = z.object({
  sku: z.string(),
  quantity: z.number().int().positive(),
  price: z.number(),
});

/** An order as a shop would send it: 450 bytes of JSON. */
export const Order = z.object({
  id: z.string(),
  number: z.number().int(),
  placedAt: z.number(),
  customer: z.object({ name: z.string(), email: z.string(), vip: z.boolean() }),
  address: Address,
  lines: z.array(Line),
  status: z.enum(["placed", "paid", "shipped"]),
  note: z.string(),
});
export type Order = z.infer<typeof Order>;

export const bodyBytes = 450;

export const PlaceOrder = command("bench.place-order", { input: Order });
export const GetPrice = query("bench.get-price", {
  input: z.object({ sku: z.string() }),
  output: z.object({ sku: z.string(), price: z.number() }),
});

/** Only sends: for producers. */
export const shop = service("bench-shop", { sends: [PlaceOrder], asks: [GetPrice] });

const template: Order = {
  id: "",
  number: 0,
  placedAt: 0,
  customer: { name: "Ada Lovelace", email: "ada@example.org", vip: true },
  address: { street: "12 St James's Square", city: "London", postcode: "SW1Y 4JH", country: "GB" },
  lines: [
    { sku: "tea-earl-grey-100g", quantity: 2, price: 5.9 },
    { sku: "cup-porcelain-blue", quantity: 1, price: 12.5 },
    { sku: "spoon-silver-small", quantity: 4, price: 3.2 },
  ],
  status: "placed",
  note: "",
};

const numberDigits = 8;

/** The order with that number; every one has the same size. `placedAt` is 1 where the time does not matter. */
export function order(number: number, placedAt = 1): Order {
  return {
    ...template,
    id: `order-${String(number).padStart(numberDigits, "0")}`,
    number,
    placedAt,
    note: noteFor(number),
  };
}

const emptyBytes = JSON.stringify({
  ...template,
  id: `order-${"0".repeat(numberDigits)}`,
  placedAt: 1,
}).length;
const padding = "Please leave it with the neighbour. ".repeat(20);

/** The number's own digits count, so that the whole stays at its size. */
function noteFor(number: number): string {
  return padding.slice(0, bodyBytes - emptyBytes + 1 - String(number).length);
}
