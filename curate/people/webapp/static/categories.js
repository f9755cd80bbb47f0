// The categories that a missing or fixed mask may be of.

import { byId, toast } from "/static/dom.js";

// They go by number: one may be named like anything.
export class Categories {
  constructor(about) {
    this.about = about;
    this.select = byId("category");
    this.names = [];
    this.last = undefined; // of the mask that this person added last
    this.select.addEventListener("change", () => { byId("category-note").hidden = true; });
  }

  // Anew each time: of a large audit they are known a little later than the first mask.
  fill(wanted) {
    this.names = this.about.categories;
    const at = this.names.indexOf(wanted);
    const options = this.names.map((name, k) => new Option(name, String(k)));
    if (at < 0) options.unshift(new Option("choose one", ""));
    this.select.replaceChildren(...options);
    this.select.value = at < 0 ? "" : String(at);
    byId("category-note").hidden = true;
  }

  // Nothing says what a new mask shows but the person who draws it. What they chose last stays, and
  // is said to; one category alone leaves no choice.
  fillForNew() {
    const { categories } = this.about;
    this.fill(categories.length === 1 ? categories[0] : this.last);
    byId("category-note").hidden = categories.length === 1 || this.select.value === "";
  }

  get none() {
    return this.about.categories.length === 0 && this.about.filters_ready !== false;
  }

  // The chosen one, null where the audit has none, undefined where none is chosen yet.
  get chosen() {
    if (this.none) return null;
    return this.select.value === "" ? undefined : this.names[Number(this.select.value)];
  }

  // Says what is wanted before a missing mask can be saved.
  ask() {
    const known = this.about.categories.length > 0;
    if (known && !this.names.length) this.fillForNew();
    byId("category-label").hidden = this.none;
    toast(known ? "Choose its category first." : "The categories are still being read. Try again in a moment.");
    this.select.focus();
  }
}
