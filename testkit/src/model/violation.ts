/** The real broker did what the model cannot explain. */
export class Violation extends Error {
  override readonly name = "Violation";
}

export function fail(what: string): never {
  throw new Violation(what);
}
