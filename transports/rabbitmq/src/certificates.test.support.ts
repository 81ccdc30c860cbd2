import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Two authorities, and certificates of the first, made by openssl. */
export class Certificates implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "waybill-tls-"));

  constructor() {
    for (const name of ["ours", "other"])
      this.#openssl("req", "-x509", ...fresh, "-subj", `/CN=${name}`, ...out(name), "-days", "2");
    this.#sign("server", "IP:127.0.0.1");
    this.#sign("elsewhere", "DNS:elsewhere");
    this.#sign("client", "DNS:client");
  }

  path(file: string): string {
    return join(this.#directory, file);
  }

  read(file: string): Buffer {
    return readFileSync(this.path(file));
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }

  #sign(name: string, names: string): void {
    const request = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=${names}`];
    this.#openssl("req", ...fresh, ...request, "-keyout", `${name}.key`, "-out", `${name}.csr`);
    const authority = ["-CA", "ours.crt", "-CAkey", "ours.key", "-days", "2"];
    const copied = ["-copy_extensions", "copy", "-out", `${name}.crt`];
    this.#openssl("x509", "-req", "-in", `${name}.csr`, ...authority, ...copied);
  }

  #openssl(...args: readonly string[]): void {
    execFileSync("openssl", args, { cwd: this.#directory, stdio: "pipe", timeout: 30_000 });
  }
}

const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

function out(name: string): readonly string[] {
  return ["-keyout", `${name}.key`, "-out", `${name}.crt`];
}
