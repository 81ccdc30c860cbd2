import { basket } from "./basket/service.ts";
import { goodsIn } from "./basket/goods.ts";
import { Baskets } from "./basket/data.ts";
import { catalog } from "./catalog/service.ts";
import { Products } from "./catalog/data.ts";
import { Changes } from "./changes.ts";
import { checkout } from "./checkout/service.ts";
import type { DataDirectory } from "./database.ts";
import { inventory } from "./inventory/service.ts";
import { Warehouse } from "./inventory/data.ts";
import { notifications } from "./notifications/service.ts";
import { Notifications } from "./notifications/data.ts";
import { orderDesk } from "./ordering/service.ts";
import { orderProcess } from "./ordering/process.ts";
import { Orders } from "./ordering/data.ts";
import { payment } from "./payment/service.ts";
import { Payments } from "./payment/data.ts";
import { pricing } from "./pricing/service.ts";
import { Prices } from "./pricing/data.ts";
import type { Settings } from "./settings.ts";
import { shipping } from "./shipping/service.ts";
import { Parcels } from "./shipping/data.ts";
import { telemetry } from "./telemetry/service.ts";
import { History } from "./telemetry/data.ts";

/** The process that leads orders and the desk that shows them: two faces of one service, over the same data. */
export const orderingOn = (orders: Orders, changes: Changes) =>
  [orderProcess(orders), orderDesk(orders, changes)] as const;

/** The basket and the view of goods that it reads. The view's store has a file of its own, so that none waits for the other's writes. */
export const basketIn = (data: DataDirectory) => {
  const goods = goodsIn(data.store("basket-goods"));
  return [goods, basket(new Baskets(data), goods, new Changes())] as const;
};

/** Every service behind the storefront, each with its own data. */
export const services = {
  catalog: (data: DataDirectory) => catalog(new Products(data)),
  pricing: (data: DataDirectory) => pricing(new Prices(data)),
  basket: basketIn,
  checkout: () => checkout,
  inventory: (data: DataDirectory) => inventory(new Warehouse(data)),
  payment: (data: DataDirectory, settings: Settings) => payment(new Payments(data), settings),
  shipping: (data: DataDirectory, settings: Settings) => shipping(new Parcels(data), settings),
  ordering: (data: DataDirectory) => orderingOn(new Orders(data), new Changes()),
  notifications: (data: DataDirectory) => notifications(new Notifications(data)),
  telemetry: (data: DataDirectory) => telemetry(new History(data)),
};

/** The names of the files in which services keep their data. */
export const dataFiles: readonly string[] = [...Object.keys(services), "basket-goods"];
