import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Topology, systemEnvironment } from "@waybill/core";
import { definitionsOf } from "./definitions.ts";
import { port } from "./subject.test.support.ts";

const run = promisify(execFile);
/** It has hung on machines that were busy. */
const patienceMs = 30_000;

/** A virtual host of its own, and who operates it. */
export class Operator implements AsyncDisposable {
  readonly #vhost: string;
  readonly #user: string;
  readonly #directory: string;

  static async open(): Promise<Operator> {
    const directory = await mkdtemp(join(tmpdir(), "waybill-operator-"));
    // rabbitmqctl reads it as another user.
    await chmod(directory, 0o755);
    const operator = new Operator(directory);
    await operator.control("add_vhost", operator.#vhost);
    await operator.control("set_permissions", "-p", operator.#vhost, "guest", ".*", ".*", ".*");
    return operator;
  }

  private constructor(directory: string) {
    const id = systemEnvironment.id().replaceAll("-", "").slice(-12);
    this.#vhost = `test-${id}`;
    this.#user = `test-${id}`;
    this.#directory = directory;
  }

  /** Who may do everything there. */
  get url(): string {
    return `amqp://127.0.0.1:${port}/${this.#vhost}`;
  }

  /** Somebody who may create nothing but replies; his URL. */
  async restricted(): Promise<string> {
    await this.control("add_user", this.#user, "secret");
    const may = ["^replies\\.", ".*", ".*"];
    await this.control("set_permissions", "-p", this.#vhost, this.#user, ...may);
    return `amqp://${this.#user}:secret@127.0.0.1:${port}/${this.#vhost}`;
  }

  /** As the definitions say that they are brought there. */
  async import(topology: Topology): Promise<void> {
    const definitions = await definitionsOf(topology, {
      url: this.url,
      prefix: "",
      system: "waybill",
    });
    const file = join(this.#directory, definitions.file);
    await writeFile(file, JSON.stringify(definitions.data), { mode: 0o644 });
    const [, command = "", name = ""] = definitions.apply.split(" ");
    await this.control(command, join(this.#directory, name));
  }

  async control(...parameters: readonly string[]): Promise<string> {
    const { stdout } = await run("rabbitmqctl", ["--quiet", ...parameters], {
      timeout: patienceMs,
      killSignal: "SIGKILL",
    });
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.control("delete_user", this.#user).catch(() => undefined);
    await this.control("delete_vhost", this.#vhost).catch(() => undefined);
    await rm(this.#directory, { recursive: true, force: true });
  }
}
