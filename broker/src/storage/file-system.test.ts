import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkFileSystem } from "./file-system.ts";
import { folder, silent } from "../fixture.test.support.ts";
import { settingsOf } from "../options.ts";

const kinds = { NFS: 0x6969, CIFS: 0xff534d42 | 0, "9p": 0x01021997, FUSE: 0x65735546 };

test("a file system on which locks do not hold is refused by name, or warned of by option", (context) => {
  const directory = folder(context);
  for (const [kind, type] of Object.entries(kinds)) {
    const probe = { platform: "linux", statfs: () => ({ type }) };
    const check = (unsafeFileSystem: "refuse" | "warn", told: unknown[] = []): void =>
      checkFileSystem(
        settingsOf({ directory, unsafeFileSystem }),
        { ...silent, warn: (_message, fields) => void told.push(fields?.["fileSystem"]) },
        probe,
      );
    assert.throws(() => check("refuse"), {
      code: "STORAGE_INVALID",
      message: new RegExp(`is on ${kind}`),
    });
    assert.equal(existsSync(join(directory, "waybill.db")), false);
    const told: unknown[] = [];
    check("warn", told);
    assert.deepEqual(told, [kind]);
  }
});

test("local file systems and other platforms are let through; a folder that cannot be looked at is an error", (context) => {
  const settings = settingsOf({ directory: join(folder(context), "made", "on", "the", "way") });
  for (const type of [0xef53, 0x9123683e, 0x58465342, 0x01021994, 0x794c7630])
    checkFileSystem(settings, silent, { platform: "linux", statfs: () => ({ type }) });
  assert.equal(existsSync(settings.directory), true);
  checkFileSystem(settings, silent, { platform: "darwin", statfs: () => ({ type: 0x6969 }) });
  const statfs = (): never => {
    throw new Error("no");
  };
  assert.throws(() => checkFileSystem(settings, silent, { platform: "linux", statfs }), {
    code: "STORAGE_FAILED",
  });
});
