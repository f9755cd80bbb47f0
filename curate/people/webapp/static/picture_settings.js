// How a person wants pictures shown: brightness, contrast, gamma, inverted, one channel, smooth or as
// pixels, and the window of the values of pictures of over 8 bit. Kept in this browser, over masks.

import { svg } from "/static/dom.js";

const KEY = "curate-picture";
const STEPS = 128; // of the curve that the filter follows
const CRISP_SCALE = 3; // from here on pixels are shown as squares, unless somebody chose otherwise
const USUAL = Object.freeze({
  brightness: 0, contrast: 0, gamma: 0, invert: false, channel: "all", pixels: "auto", low: null, high: null,
});
const LIMITS = { brightness: 100, contrast: 95, gamma: 2 };
const CHOICES = { channel: ["all", "red", "green", "blue"], pixels: ["auto", "smooth", "pixels"] };
const ROWS = { red: "1 0 0 0 0 ", green: "0 1 0 0 0 ", blue: "0 0 1 0 0 " };

function read() {
  try {
    return valid(JSON.parse(localStorage.getItem(KEY)) || {});
  } catch {
    return { ...USUAL }; // forbidden, or not ours
  }
}

// What is kept may be of another version of the page, or edited by hand.
function valid(given) {
  const made = { ...USUAL };
  for (const [name, most] of Object.entries(LIMITS)) {
    if (Number.isFinite(given[name])) made[name] = Math.max(-most, Math.min(most, given[name]));
  }
  for (const [name, choices] of Object.entries(CHOICES)) if (choices.includes(given[name])) made[name] = given[name];
  made.invert = given.invert === true;
  if (Number.isFinite(given.low) && Number.isFinite(given.high) && given.low < given.high) {
    Object.assign(made, { low: given.low, high: given.high });
  }
  return made;
}

let now = read();
let filter = null;

export const settings = () => now;

export function change(news) {
  now = valid({ ...now, ...news });
  try {
    localStorage.setItem(KEY, JSON.stringify(now));
  } catch {
    // then they hold until the page is closed
  }
  apply();
}

export const reset = () => change(USUAL);

export const turned = (name) => CHOICES[name][(CHOICES[name].indexOf(now[name]) + 1) % CHOICES[name].length];

export const isUsual = () => Object.keys(USUAL).every((name) => now[name] === USUAL[name]);

// The address of a picture with the chosen window of its values.
export function withLevels(url) {
  if (now.low === null) return url;
  return `${url}${url.includes("?") ? "&" : "?"}low=${now.low}&high=${now.high}`;
}

// Whether pixels of a picture are blended at a scale, in screen pixels for one of its own.
export function blends(scale) {
  return now.pixels === "smooth" || (now.pixels === "auto" && scale < CRISP_SCALE);
}

// What becomes of a value from 0 to 1: gamma, then contrast about the middle, then brightness.
export function curve(value, { brightness, contrast, gamma, invert } = now) {
  const steep = Math.tan(((contrast / 100 + 1) * Math.PI) / 4);
  const out = (value ** (1 / 2 ** gamma) - 0.5) * steep + 0.5 + brightness / 100;
  const kept = Math.max(0, Math.min(1, out));
  return invert ? 1 - kept : kept;
}

// One SVG filter for stage, grid and editor: what is drawn is the same everywhere.
export function apply() {
  const { brightness, contrast, gamma, invert, channel } = now;
  const plain = !brightness && !contrast && !gamma && !invert && channel === "all";
  const root = document.documentElement;
  root.dataset.pixels = now.pixels;
  root.classList.toggle("adjusted", !plain);
  if (plain) return;
  const table = Array.from({ length: STEPS }, (_, k) => curve(k / (STEPS - 1)).toFixed(4)).join(" ");
  const curves = ["R", "G", "B"].map((name) => svg(`feFunc${name}`, { type: "table", tableValues: table }));
  const one = channel === "all" ? [] : [svg("feColorMatrix", { type: "matrix", values: `${ROWS[channel].repeat(3)}0 0 0 1 0` })];
  holder().replaceChildren(...one, svg("feComponentTransfer", {}, ...curves));
}

function holder() {
  if (!filter) {
    filter = svg("filter", { id: "picture-filter", x: "0", y: "0", width: "1", height: "1", "color-interpolation-filters": "sRGB" });
    document.body.append(svg("svg", { class: "filters", "aria-hidden": "true", width: "0", height: "0" }, filter));
  }
  return filter;
}
