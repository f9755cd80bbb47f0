// Making and finding elements. Text from the dataset goes in as text nodes only, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// Only what changed is written, so that a screen reader is not told the same thing again.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

let spoken = null;

// Says what happened to those who listen instead of looking.
export function announce(text) {
  const region = byId("announcer");
  clearTimeout(spoken);
  region.textContent = "";
  spoken = setTimeout(() => { region.textContent = text; }, 30);
}

let toasting = null;

// A sentence for everybody, which goes away by itself.
export function toast(text, kind = "") {
  const note = byId("toast");
  clearTimeout(toasting);
  note.textContent = text;
  note.className = kind;
  note.hidden = false;
  announce(text);
  toasting = setTimeout(() => { note.hidden = true; }, 2600 + 45 * text.length);
}

// What was said of an earlier step goes with the next one; what is wrong stays.
export function endToast() {
  const note = byId("toast");
  if (note.className !== "wrong") note.hidden = true;
}

// crypto.randomUUID exists only on https and localhost; a server on another address has neither.
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

export function count(number) {
  return Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

export function plural(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

// A score as the reports write it: two decimals, three near the ends, where they matter.
export function score(value) {
  const nearEnd = (value > 0 && value < 0.01) || (value > 0.99 && value < 1);
  return value.toFixed(nearEnd ? 3 : 2);
}

export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
