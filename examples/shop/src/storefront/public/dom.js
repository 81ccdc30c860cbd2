// Small tools of the page. Text only ever goes in through text nodes, never as markup.
/* oxlint-disable waybill/environment -- a page lives on its browser's own time and chance */

export const $ = (id) => document.getElementById(id);
const money = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });
export const euros = (cents) => money.format(cents / 100);

/** An element with attributes and children; strings become text, never markup. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

export function picture(sku) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `/products.svg#${sku}`);
  for (const [name, value] of Object.entries(strokes)) svg.setAttribute(name, value);
  svg.append(use);
  return element("div", { class: "picture", "aria-hidden": "true" }, svg);
}
const strokes = {
  fill: "none",
  stroke: "currentColor",
  "stroke-width": "2.5",
  "stroke-linejoin": "round",
  "stroke-linecap": "round",
};

export async function call(method, path, body) {
  const response = await fetch(path, {
    method,
    ...(body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  const answer = await response.json();
  if (!response.ok)
    throw new Error(answer.error?.message ?? `The shop answered ${response.status}.`);
  return answer;
}

export function say(text) {
  $("notice").textContent = text;
  $("notice").hidden = text === "";
  clearTimeout(say.timer);
  say.timer = setTimeout(() => ($("notice").hidden = true), 6000);
}

/** Runs what a click asked for; a failure is told, not swallowed. */
export const doing = (work) => (event) =>
  void Promise.resolve(work(event)).catch((error) => say(error.message));

export const newId = () => crypto.randomUUID();

export const later = (ms, work) => setTimeout(() => work(), ms);

/** Runs the work now and again, that long after each run has ended. */
export async function every(ms, work) {
  await work();
  later(ms, () => void every(ms, work));
}
