// The dialog in which keys are changed: press a button, then the new key. A key that is taken is said
// so, with what has it, and nothing changes.

import { byId, el, setText } from "/static/dom.js";
import { FIXED, choose, isChanged, keysOf, nameOf, resetKeys, takenBy } from "/static/key_map.js";
import { KEYS, pressed } from "/static/keys.js";

const VIEWS = { single: "one mask", grid: "the grid", editor: "the editor", looked: "whole images", rest: "the end" };

const wordsOf = (each) => each.alone ?? each.words;

export class KeyDialog {
  // `changed` is called once a key is another one.
  constructor(changed) {
    this.changed = changed;
    this.dialog = byId("keys");
    this.waiting = null;
    byId("keys-button").addEventListener("click", () => this.open());
    byId("keys-reset").addEventListener("click", () => { resetKeys(); this.fill("All keys are as they were."); });
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    this.show();
  }

  open() {
    byId("help").close();
    this.fill("Choose an action, then press its new key. Enter, Space and Esc stay as they are.");
    this.dialog.showModal();
  }

  fill(words) {
    this.waiting = null;
    setText(byId("keys-words"), words);
    byId("keys-list").replaceChildren(...KEYS.filter(wordsOf).map((each) => this.row(each)));
    this.show();
    this.changed();
  }

  row(each) {
    const key = nameOf(keysOf(each)[0]);
    const where = each.in.length === 1 && each.in[0] !== "single" ? ` (${VIEWS[each.in[0]]})` : "";
    const button = el("button", { type: "button", "aria-label": `${wordsOf(each)}${where}: ${key}. Change`, class: isChanged(each) ? "on" : null, onclick: () => this.wait(each, button) }, el("kbd", {}, key));
    return el("li", {}, el("span", {}, wordsOf(each), el("span", { class: "soft" }, where)), button);
  }

  wait(each, button) {
    this.waiting = { each, button };
    setText(byId("keys-words"), `Press the new key for “${wordsOf(each)}”. Esc leaves it.`);
  }

  key(event) {
    if (!this.waiting || ["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    const { each } = this.waiting;
    const key = pressed(event);
    const other = takenBy(key, each, KEYS);
    if (event.key === "Escape") this.done(each, "Nothing is changed.");
    else if (FIXED.includes(key)) setText(byId("keys-words"), `${nameOf(key)} cannot be chosen. Press another key, or Esc.`);
    else if (other) setText(byId("keys-words"), `${nameOf(key)} is taken by “${wordsOf(other)}”. Press another key, or Esc.`);
    else {
      choose(each, key);
      this.done(each, `${nameOf(key)}: ${wordsOf(each)}.`);
    }
  }

  done(each, words) {
    this.fill(words);
    byId("keys-list").children[KEYS.filter(wordsOf).indexOf(each)].querySelector("button").focus();
  }

  // The keys that stand on buttons.
  show() {
    for (const kbd of document.querySelectorAll("kbd[data-key], button[data-act] > kbd")) {
      const act = kbd.dataset.key ?? kbd.parentElement.dataset.act;
      const view = kbd.closest(".view")?.id.slice(5) ?? "single";
      const each = KEYS.find((one) => one.act === act && one.in.includes(view)) ?? KEYS.find((one) => one.act === act);
      if (!each) continue;
      kbd.dataset.usual ??= kbd.textContent;
      setText(kbd, isChanged(each) ? nameOf(keysOf(each)[0]) : kbd.dataset.usual);
    }
  }
}
