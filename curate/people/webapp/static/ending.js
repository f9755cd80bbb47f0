// The end of a queue: what comes next, as commands to copy, and the numbers of this session.

import * as api from "/static/api.js";
import { byId, el, plural, setText } from "/static/dom.js";
import { paceWords } from "/static/progress.js";

const AGAIN_MS = 2000;

export class Ending {
  constructor({ progress, outbox, reviewer }) {
    Object.assign(this, { progress, outbox, reviewer });
    this.shown = false;
    this.turn = 0; // an answer to a question of an earlier turn is not shown
  }

  // Asked once a time that the end is reached; what people decided is saved before.
  show(reached) {
    if (reached === this.shown) return;
    this.shown = reached;
    this.turn++;
    clearTimeout(this.later);
    byId("ending").hidden = true;
    if (reached) this.ask(this.turn);
  }

  // Until it is answered: at the end of a queue nothing else asks the server again.
  async ask(turn) {
    await this.outbox.settled(5000);
    const found = await api.end(this.reviewer()).catch(() => null);
    if (turn !== this.turn) return;
    if (found) this.draw(found);
    else this.later = setTimeout(() => this.ask(turn), AGAIN_MS);
  }

  draw(found) {
    setText(byId("ending-numbers"), this.numbers(found));
    byId("ending-steps").replaceChildren(...found.steps.map(({ purpose, command }) => el("li", {}, `${purpose}: `, el("code", { tabindex: "0" }, command))));
    byId("ending-next").hidden = !found.steps.length;
    byId("ending").hidden = false;
  }

  numbers({ known, right }) {
    const { decided } = this.progress;
    const parts = [];
    if (decided) parts.push(`This session: ${plural(decided, "mask", "masks")}, ${paceWords(this.progress.pace())}.`);
    if (known) parts.push(`Of ${known} masks with a known answer, you agreed on ${right}.`);
    return parts.join(" ");
  }
}
