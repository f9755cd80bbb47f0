// The end of a queue: what comes next, as commands to copy, and the numbers of this session.

import * as api from "/static/api.js";
import { byId, el, plural, setText } from "/static/dom.js";

export class Ending {
  constructor({ progress, outbox, reviewer }) {
    Object.assign(this, { progress, outbox, reviewer });
    this.shown = false;
  }

  // Asked once a time that the end is reached; what people decided is saved before.
  async show(reached) {
    if (!reached) {
      this.shown = false;
      byId("ending").hidden = true;
      return;
    }
    if (this.shown) return;
    this.shown = true;
    await this.outbox.settled(5000);
    const found = await api.end(this.reviewer()).catch(() => null);
    if (!found || !this.shown) return;
    setText(byId("ending-numbers"), this.numbers(found));
    byId("ending-steps").replaceChildren(...found.steps.map(({ purpose, command }) => el("li", {}, `${purpose}: `, el("code", { tabindex: "0" }, command))));
    byId("ending-next").hidden = !found.steps.length;
    byId("ending").hidden = false;
  }

  numbers({ known, right }) {
    const { decided, spent } = this.progress;
    const parts = [];
    if (decided) parts.push(`This session: ${plural(decided, "mask", "masks")}, ${(spent / decided).toFixed(1)} s each.`);
    if (known) parts.push(`Of ${known} masks with a known answer, you agreed on ${right}.`);
    return parts.join(" ");
  }
}
