import { Actor, type Played } from "../actors/actor.ts";
import type { BossSettings } from "./boss.actor.ts";
import type { Mailed, MailingSettings } from "./mailing.actor.ts";
import type { OrderingSettings } from "./ordering.actor.ts";
import { Client } from "pg";
import { type StoreKind, openDatabase, openPlace } from "./stores.ts";

/** One of those that are compared: two processes, ready for rounds. */
export interface System extends AsyncDisposable {
  round(count: number): Promise<Round>;
}

export interface Round extends Mailed {
  readonly cpuSeconds: number;
  readonly handlingCpuSeconds: number;
}

const atATime = 500;

export async function openWaybill(kind: StoreKind, profile: string | undefined): Promise<System> {
  await using cleaning = new AsyncDisposableStack();
  const { directory, urls } = cleaning.use(await openPlace(kind));
  const settings: OrderingSettings & MailingSettings = {
    kind,
    directory,
    urls,
    concurrency: atATime,
    inFlight: atATime,
  };
  return await start(cleaning, { ordering: "ordering", mailing: "mailing", settings, profile });
}

export async function openBoss(): Promise<System> {
  await using cleaning = new AsyncDisposableStack();
  const { url } = cleaning.use(await openDatabase());
  const client = new Client(url);
  await client.connect();
  await client.query("create table orders (id text primary key, number integer not null)");
  await client.end();
  const settings: Omit<BossSettings, "role"> = { url, batch: 100, lanes: 4 };
  return await start(cleaning, { ordering: "boss", mailing: "boss", settings, profile: undefined });
}

interface Parts {
  readonly ordering: string;
  readonly mailing: string;
  readonly settings: object;
  readonly profile: string | undefined;
}

async function start(cleaning: AsyncDisposableStack, parts: Parts): Promise<System> {
  const { settings, profile } = parts;
  const begin = async <Result>(role: "ordering" | "mailing"): Promise<Actor<Result>> =>
    cleaning.use(
      await Actor.start<Result>(
        new URL(`${parts[role]}.actor.ts`, import.meta.url),
        { ...settings, role },
        { profile },
      ),
    );
  // The owner of the queue first: it declares what the other one sends to.
  const ordering = await begin("ordering");
  const mailing = await begin<Mailed>("mailing");
  const closing = cleaning.move();
  return {
    round: async (count) => {
      await ordering.begin(count);
      await mailing.begin(count);
      const { result, cpuSeconds }: Played<Mailed> = await mailing.result();
      const handled = await ordering.result();
      return { ...result, cpuSeconds, handlingCpuSeconds: handled.cpuSeconds };
    },
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  };
}
