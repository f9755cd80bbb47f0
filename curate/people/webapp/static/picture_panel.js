// The small panel in which the picture is adjusted, and the keys that do it without the panel.

import * as api from "/static/api.js";
import { byId, el, setText, toast } from "/static/dom.js";
import { apply, change, isUsual, reset, settings, turned } from "/static/picture_settings.js";

const SLIDERS = [
  { name: "brightness", words: "Brightness", most: 100, step: 5, less: "5", more: "6", down: "darker", up: "brighter" },
  { name: "contrast", words: "Contrast", most: 95, step: 5, less: "7", more: "8", down: "softer", up: "harder" },
  { name: "gamma", words: "Gamma", most: 2, step: 0.1, less: ",", more: ".", down: "gammaDown", up: "gammaUp" },
];
const STEPS = {
  darker: ["brightness", -1], brighter: ["brightness", 1], softer: ["contrast", -1], harder: ["contrast", 1],
  gammaDown: ["gamma", -1], gammaUp: ["gamma", 1],
};
const CHANNELS = { all: "All channels", red: "Red alone", green: "Green alone", blue: "Blue alone" };
const PIXELS = { auto: "Pixels once they are large", smooth: "Always smooth", pixels: "Always pixels" };

export class PicturePanel {
  // `maskNow` gives the id of a mask on the picture that is shown; `reload` is called when the
  // server has to draw the pictures anew; `redraw` when only this page has.
  constructor({ maskNow, reload, redraw }) {
    Object.assign(this, { maskNow, reload, redraw });
    this.root = byId("picture");
    this.inputs = Object.fromEntries(SLIDERS.map((each) => [each.name, this.slider(each)]));
    this.fill();
    this.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation(); // it would leave the editor
      this.turn(false);
    });
    apply();
    this.show();
  }

  slider({ name, words, most, step, less, more, down, up }) {
    const input = el("input", { type: "range", id: `picture-${name}`, min: -most, max: most, step, oninput: (event) => this.set({ [name]: Number(event.target.value) }) });
    const value = el("output", { for: `picture-${name}` });
    const label = el("label", { class: "field", for: `picture-${name}` }, el("span", {}, words, " ", value), el("span", {}, el("kbd", { "data-key": down }, less), el("kbd", { "data-key": up }, more)));
    this.root.append(label, input);
    return { input, value };
  }

  choice(name, words, choices, key) {
    const options = Object.entries(choices).map(([value, text]) => el("option", { value }, text));
    const select = el("select", { id: `picture-${name}`, onchange: (event) => this.set({ [name]: event.target.value }) }, ...options);
    this.root.append(el("label", { class: "field", for: `picture-${name}` }, el("span", {}, words), el("kbd", { "data-key": name }, key)), select);
    return select;
  }

  fill() {
    this.channel = this.choice("channel", "Channel", CHANNELS, "K");
    this.pixels = this.choice("pixels", "Zoomed in", PIXELS, "J");
    this.invert = el("input", { type: "checkbox", onchange: (event) => this.set({ invert: event.target.checked }) });
    this.root.append(el("label", { class: "check" }, this.invert, el("span", {}, "Invert"), el("kbd", { "data-key": "invert" }, "9")));
    const ends = ["low", "high"].map((end) => el("input", { type: "number", step: "any", id: `picture-${end}`, onchange: () => this.setLevels() }));
    [this.low, this.high] = ends;
    this.range = el("div", { role: "group", "aria-label": "Window of values", hidden: true },
      el("div", { class: "range" }, el("label", { class: "field" }, "Black at ", ends[0]), el("label", { class: "field" }, "White at ", ends[1])));
    this.levelWords = el("p", { class: "soft small" });
    this.range.append(this.levelWords);
    this.root.append(this.range, el("div", { class: "notice-actions" },
      el("button", { type: "button", "data-act": "pictureReset" }, "Reset ", el("kbd", {}, "0")),
      el("button", { type: "button", "data-act": "picture" }, "Close ", el("kbd", {}, "Q"))));
  }

  // Does what a key or button asks; false where that is no business of this panel.
  act(name) {
    if (name === "picture") this.turn(this.root.hidden);
    else if (name === "pictureReset") this.set(null, "The picture is as it was.");
    else if (name === "invert") this.set({ invert: !settings().invert }, settings().invert ? "As it is" : "Inverted");
    else if (name === "channel") this.set({ channel: turned("channel") }, CHANNELS[turned("channel")]);
    else if (name === "pixels") this.set({ pixels: turned("pixels") }, PIXELS[turned("pixels")]);
    else if (STEPS[name]) this.step(...STEPS[name]);
    else return false;
    return true;
  }

  step(name, sign) {
    const { step, words } = SLIDERS.find((each) => each.name === name);
    this.set({ [name]: Math.round((settings()[name] + sign * step) / step) * step });
    if (this.root.hidden) toast(`${words} ${shown(name)}`);
  }

  set(news, words = "") {
    const before = settings();
    if (news) change(news);
    else reset();
    const { low, high } = settings();
    if (low !== before.low || high !== before.high) this.reload();
    else this.redraw();
    this.show();
    if (words && this.root.hidden) toast(words);
  }

  setLevels() {
    const [low, high] = [this.low, this.high].map((input) => (input.value === "" ? NaN : Number(input.value)));
    if (low < high) this.set({ low, high });
    else setText(this.levelWords, "Black must be under white.");
  }

  turn(open) {
    this.root.hidden = !open;
    if (open) {
      this.show();
      this.inputs.brightness.input.focus();
      this.askLevels();
    } else if (!document.activeElement || document.activeElement === document.body) byId("main").querySelector(".view:not([hidden]) h1")?.focus();
    for (const button of document.querySelectorAll('[data-act="picture"][aria-expanded]')) button.setAttribute("aria-expanded", String(open));
  }

  // The window can be chosen where the picture has more than 8 bit.
  async askLevels() {
    const mask = this.maskNow();
    this.range.hidden = true;
    const found = mask === null ? null : await api.levels(mask).catch(() => null);
    if (!found?.deep || this.root.hidden) return;
    this.usual = found;
    this.range.hidden = false;
    this.show();
  }

  show() {
    const now = settings();
    for (const [name, { input, value }] of Object.entries(this.inputs)) {
      input.value = String(now[name]);
      setText(value, shown(name));
    }
    this.channel.value = now.channel;
    this.pixels.value = now.pixels;
    this.invert.checked = now.invert;
    for (const button of document.querySelectorAll('[data-act="picture"]')) button.classList.toggle("on", !isUsual());
    if (!this.usual) return;
    const { low, high, least, most } = this.usual;
    for (const [input, own, usual] of [[this.low, now.low, low], [this.high, now.high, high]]) input.value = String(own ?? usual);
    setText(this.levelWords, `Its values are from ${least} to ${most}; shown without a choice: ${low} to ${high}.`);
  }
}

function shown(name) {
  const value = settings()[name];
  if (name === "gamma") return (2 ** value).toFixed(2);
  return value > 0 ? `+${value}` : String(value).replace("-", "\u2212");
}
