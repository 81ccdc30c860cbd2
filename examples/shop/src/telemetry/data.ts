import type { DatabaseSync } from "node:sqlite";
import type { Position } from "waybill";
import type { PageView, SensorReading } from "../contracts/telemetry.ts";
import type { DataDirectory } from "../database.ts";

const schema = `
  create table if not exists page_views (
    partition integer not null,
    offset integer not null,
    sku text not null,
    at text not null,
    primary key (partition, offset)
  ) strict, without rowid;
  create table if not exists sensor_readings (
    partition integer not null,
    offset integer not null,
    device text not null,
    celsius real not null,
    at text not null,
    primary key (partition, offset)
  ) strict, without rowid;
`;

/** What the group "history" keeps. An item's place in the stream is its key, so that reading it twice stores it once. */
export class History {
  readonly #db: DatabaseSync;

  constructor(data: DataDirectory) {
    this.#db = data.open("telemetry", schema);
  }

  addView({ partition, offset }: Position, { sku, at }: PageView): void {
    this.#db
      .prepare("insert or ignore into page_views values (?, ?, ?, ?)")
      .run(partition, offset, sku, at);
  }

  addReading({ partition, offset }: Position, { device, celsius, at }: SensorReading): void {
    const sql = "insert or ignore into sensor_readings values (?, ?, ?, ?, ?)";
    this.#db.prepare(sql).run(partition, offset, device, celsius, at);
  }

  summary(): { views: number; readings: number; mostViewed: { sku: string; views: number }[] } {
    const mostViewed = `select sku, count(*) as views from page_views
      group by sku order by views desc, sku limit 3`;
    return {
      views: this.#count("page_views"),
      readings: this.#count("sensor_readings"),
      mostViewed: this.#db.prepare(mostViewed).all() as unknown as { sku: string; views: number }[],
    };
  }

  #count(table: "page_views" | "sensor_readings"): number {
    return this.#db.prepare(`select count(*) as rows from ${table}`).get()?.["rows"] as number;
  }
}
