import { environment } from "./environment.ts";

/** The rules of this repository that oxlint does not have; loaded by .oxlintrc.json. */
const plugin: { readonly meta: object; readonly rules: Readonly<Record<string, unknown>> } = {
  meta: { name: "waybill" },
  rules: { environment },
};

export default plugin;
