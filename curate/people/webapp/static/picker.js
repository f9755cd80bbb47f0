// The dialog in which a mask gets another category: type a part of its name, choose, Enter; or type
// its number, which is the same on every mask. What the detector and the twin say stands first.

import { byId, el, setText } from "/static/dom.js";

const MOST_SHOWN = 200;
const MOST_NUMBERED = 999;

export class Picker {
  constructor(about) {
    this.about = about;
    this.dialog = byId("relabel");
    this.input = byId("relabel-search");
    this.list = byId("relabel-list");
    this.input.addEventListener("input", () => this.fill());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.take([...this.list.children].indexOf(option));
    });
    byId("relabel-leave").addEventListener("click", () => this.dialog.close());
  }

  // Resolves with a category, null when the dialog is closed without one.
  open(current, hints = []) {
    this.current = current;
    this.hints = [...new Map(hints)].filter(([name]) => name !== current);
    this.taken = null;
    this.input.value = "";
    setText(byId("relabel-words"), `Now it is: ${current ?? "no category"}.`);
    this.fill();
    this.dialog.showModal();
    this.input.focus();
    return new Promise((resolve) => {
      this.dialog.addEventListener("close", () => resolve(this.taken), { once: true });
    });
  }

  // Names that begin with what was typed come first. A name that no mask has yet comes last: the
  // dataset may list it all the same, and where it does not, writing adds it if the format can.
  fill() {
    const typed = this.input.value.trim();
    if (this.takeNumber(typed)) return;
    const part = typed.toLowerCase();
    const fits = this.about.categories.filter((name) => name !== this.current && name.toLowerCase().includes(part));
    const starts = (name) => (name.toLowerCase().startsWith(part) ? 0 : 1);
    fits.sort((a, b) => starts(a) - starts(b));
    const first = typed ? [] : this.hints;
    this.names = [...first.map(([name]) => name), ...fits.slice(0, MOST_SHOWN)];
    const options = this.names.map((name, k) => this.option(name, first[k]?.[1]));
    if (typed && typed !== this.current && !this.about.categories.includes(typed)) {
      this.names.push(typed);
      options.push(this.option(`${typed} (no mask has it yet)`));
    }
    this.list.replaceChildren(...options);
    byId("relabel-more").hidden = fits.length <= MOST_SHOWN;
    this.mark(typed ? 0 : -1); // of a list that nobody has narrowed down, Enter takes nothing
  }

  option(words, hint = "") {
    const number = hint ? "" : this.numberOf(words);
    const more = hint ? [el("span", { class: "soft small" }, ` ${hint}`)] : [];
    return el("li", { role: "option", "aria-selected": "false", "data-name": words }, ...(number ? [el("kbd", {}, number), " "] : []), words, ...more);
  }

  // As many digits as the last one has; none where names begin with digits themselves.
  get digits() {
    const { categories } = this.about;
    return categories.length <= MOST_NUMBERED && !categories.some((name) => /^\d/.test(name)) ? String(categories.length).length : 0;
  }

  numberOf(name) {
    const at = this.about.categories.indexOf(name);
    return this.digits && at >= 0 ? String(at + 1).padStart(this.digits, "0") : "";
  }

  // A whole number takes its category at once: two keys for one of 80.
  takeNumber(typed) {
    if (!this.digits || typed.length !== this.digits || !/^\d+$/.test(typed)) return false;
    const name = this.about.categories[Number(typed) - 1];
    if (name === undefined || name === this.current) return false;
    this.taken = name;
    this.dialog.close();
    return true;
  }

  mark(at) {
    const options = [...this.list.children];
    this.at = Math.min(options.length - 1, at);
    options.forEach((option, k) => {
      option.id = `relabel-option-${k}`;
      option.setAttribute("aria-selected", String(k === this.at));
    });
    options[this.at]?.scrollIntoView({ block: "nearest" });
    if (options[this.at]) this.input.setAttribute("aria-activedescendant", `relabel-option-${this.at}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    if (event.key in steps) this.mark(Math.max(0, this.at + steps[event.key]));
    else if (event.key === "Enter") this.take(this.at);
    else return;
    event.preventDefault();
    event.stopPropagation(); // with the dialog closed, Enter would accept the mask
  }

  take(at) {
    if (!(at in this.names)) return;
    this.taken = this.names[at];
    this.dialog.close();
  }
}
