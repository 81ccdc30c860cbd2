import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { PlantedBug } from "./bug.fixture.ts";

const root = join(import.meta.dirname, "../../..");
const rooms = ["contracts", "core", "testkit", "broker"];

/** A copy of the sources, in which one bug at a time is planted. It is gone when it is disposed. */
export class Workbench {
  readonly directory: string = mkdtempSync(join(tmpdir(), "waybill-planted-"));

  constructor() {
    mkdirSync(join(this.directory, "node_modules/@waybill"), { recursive: true });
    for (const room of rooms) {
      for (const part of ["package.json", "src"])
        cpSync(join(root, room, part), join(this.directory, room, part), { recursive: true });
      symlinkSync(join(this.directory, room), join(this.directory, "node_modules/@waybill", room));
    }
    for (const name of ["fast-check", "pure-rand", ...new Set(rooms.flatMap(foreignOf))]) {
      const link = join(this.directory, "node_modules", name);
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(join(root, "node_modules", name), link);
    }
  }

  /** Plants a bug until what is answered is disposed. */
  plant({ name, file: at, text, instead }: PlantedBug): Disposable {
    const file = join(this.directory, at);
    const sound = readFileSync(file, "utf8");
    const [before, after, ...more] = sound.split(text);
    assert.ok(
      before !== undefined && after !== undefined && more.length === 0,
      `"${name}" does not fit ${at} any more: its text must stand there once. Correct broker/src/planted.`,
    );
    writeFileSync(file, before + instead + after);
    return { [Symbol.dispose]: () => writeFileSync(file, sound) };
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What a room takes from others than Waybill. */
function foreignOf(room: string): readonly string[] {
  const { dependencies = {} } = JSON.parse(
    readFileSync(join(root, room, "package.json"), "utf8"),
  ) as { readonly dependencies?: Readonly<Record<string, string>> };
  return Object.keys(dependencies).filter((name) => !name.startsWith("@waybill/"));
}
