// The dialog that narrows what is shown: category, reason, kind of error, range of a score.

import * as api from "/static/api.js";
import { byId, count, el, setText, toast } from "/static/dom.js";

const NOTHING = { category: null, reason: null, kind: null, score: null };

const option = (value, words) => el("option", { value }, words);

export class Filters {
  // `bulk` is called when all that fits is to be decided on at once.
  constructor(about, apply, bulk) {
    this.now = NOTHING;
    this.linked = null;
    this.fill(about);
    byId("filter-score").addEventListener("change", () => this.explain());
    byId("filter-clear").addEventListener("click", () => { byId("filter").close(); this.clear(apply); });
    byId("filter-form").addEventListener("submit", (event) => {
      this.set(this.read(), apply);
      if (event.submitter?.value === "bulk") setTimeout(bulk, 0); // once this dialog is closed
    });
    byId("filter-bulk").hidden = !about.bulk;
    this.explain();
  }

  // Of a large queue the server knows the filters a little later.
  fill(about) {
    this.about = about;
    const { categories, reasons, kinds, scores } = about.filters;
    byId("filter-button").hidden = !(categories.length + reasons.length + kinds.length + scores.length);
    // Options go by number: a category may be named like anything, or not at all.
    byId("filter-category").replaceChildren(option("", "all"), ...categories.map((each, k) => option(k, `${each.name || "no category"} (${count(each.masks)})`)));
    byId("filter-reason").replaceChildren(option("", "all"), ...reasons.map((each, k) => option(k, `${each.words} (${count(each.masks)})`)));
    byId("filter-kind").replaceChildren(option("", "all"), ...kinds.map((each, k) => option(k, `${each.name} (${count(each.masks)})`)));
    byId("filter-kind-label").hidden = !kinds.length; // without a verifier there is none
    byId("filter-score").replaceChildren(option("", "any"), ...scores.map((each, k) => option(k, each.title)));
    if (about.filters_ready === false) setTimeout(() => this.fillLater(), 2000);
  }

  // Into the same object: the editor takes its categories from there.
  async fillLater() {
    this.fill(Object.assign(this.about, await api.about().catch(() => ({}))));
    if (this.linked) this.showLinked(...this.linked);
  }

  // The report links to a reason or a kind of error: `#reason=ID`, `#kind=too+large`.
  showLinked(hash, apply) {
    const asked = new URLSearchParams(hash.slice(1));
    const { reasons, kinds } = this.about.filters;
    const found = [
      ["reason", asked.get("reason"), reasons.findIndex((each) => each.id === asked.get("reason"))],
      ["kind", asked.get("kind"), kinds.findIndex((each) => each.name === asked.get("kind"))],
    ].filter(([, wanted]) => wanted !== null);
    const lacking = found.find(([, , k]) => k < 0);
    this.linked = lacking && this.about.filters_ready === false ? [hash, apply] : null;
    if (!found.length || this.linked || (lacking && this.about.blind)) return; // a blind queue has no filters
    if (lacking) {
      const [name, wanted] = lacking;
      const said = name === "kind" ? `the kind of error “${wanted}”` : "the reason that the address names";
      toast(`Nothing in this queue has ${said}: all of it is shown.`, "wrong");
      return;
    }
    for (const [name, , k] of found) byId(`filter-${name}`).value = k;
    this.set(this.read(), apply);
  }

  get active() {
    return Object.values(this.now).some((part) => part !== null);
  }

  open() {
    if (!byId("filter-button").hidden) byId("filter").showModal();
  }

  explain() {
    const chosen = byId("filter-score").value;
    const score = chosen === "" ? null : this.about.filters.scores[chosen];
    setText(byId("filter-words"), score ? score.words : "");
    for (const id of ["filter-low", "filter-high"]) byId(id).disabled = score === null;
  }

  read() {
    const { categories, reasons, kinds, scores } = this.about.filters;
    const pick = (id, from) => (byId(id).value === "" ? null : from[byId(id).value]);
    const score = pick("filter-score", scores);
    const bound = (id, otherwise) => (byId(id).value === "" ? otherwise : Number(byId(id).value));
    return {
      category: pick("filter-category", categories)?.name ?? null,
      reason: pick("filter-reason", reasons)?.id ?? null,
      kind: pick("filter-kind", kinds)?.name ?? null,
      score: score && { column: score.column, low: bound("filter-low", null), high: bound("filter-high", null) },
    };
  }

  clear(apply) {
    for (const id of ["filter-category", "filter-reason", "filter-kind", "filter-score", "filter-low", "filter-high"]) byId(id).value = "";
    this.explain();
    this.set(NOTHING, apply);
  }

  set(filter, apply) {
    if (JSON.stringify(filter) === JSON.stringify(this.now)) return;
    this.now = filter;
    byId("filter-button").classList.toggle("on", this.active);
    apply(filter);
  }
}
