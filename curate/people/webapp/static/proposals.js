// A queue of missing masks that are proposed: other words for the same keys, and the segmenter's mask
// in the place of a box.

import * as api from "/static/api.js";
import { byId, score } from "/static/dom.js";

const WORDS = { accept: "Add it", reject: "Not missing", fix: "Edit" };
const HELP = {
  accept: "Add the proposed mask", reject: "Refuse it: no mask is missing here", fix: "Edit it, then add it",
  relabel: "Add it with another category",
};
const SAID = { accept: "Added", reject: "Refused", fix: "Added" };
const SHOWN = { mask: "The outline is the proposed mask.", box: "The outline is the detector's box: edit it for a mask.", segmenter: "The outline is the segmenter's mask of the detector's box." };

const MOST_ALIKE = 0.95; // a mask that the segmenter draws as it is needs no fix

export class Proposals {
  constructor(about) {
    this.on = about.kind === "missing";
    this.about = about;
    this.redrawn = new Set(); // items that the segmenter was asked about
    if (!this.on) return;
    document.body.dataset.queue = "missing";
    byId("stage").classList.add("with-others"); // what has a mask already is seen from the start
    byId("others-button").setAttribute("aria-pressed", "true");
    for (const [act, words] of Object.entries(WORDS)) {
      const button = document.querySelector(`#view-single .actions [data-act=${act}]`);
      button.firstChild.textContent = `${words} `;
    }
    document.querySelector("#why h2").firstChild.textContent = "Why it is proposed ";
    document.querySelector("[data-act=relabel]").firstChild.textContent = "Another category ";
    document.querySelector("#view-single .lens [data-act=missing]").firstChild.textContent = "Draw another ";
  }

  // What a key does here, for the help.
  helpOf(key) {
    return (this.on && key.in.includes("single") && HELP[key.act]) || key.words;
  }

  said(action) {
    return this.on ? SAID[action] : null;
  }

  shown(card) {
    return this.on ? SHOWN[card.drawn ? "segmenter" : card.proposed] : "";
  }

  // Whether a person must say the category before it can be added, or accepted.
  lacksCategory(card) {
    return this.about.must_name && card.category === null;
  }

  // Asks the segmenter for a mask: of what is proposed as a box, and of a mask for which no fix is
  // suggested otherwise. `drawn` is called when it is there.
  async redraw(entry, drawn) {
    const { card } = entry;
    const wanted = this.on ? card.proposed === "box" : !card.suggested && card.reasons.length > 0;
    if (!this.about.segmenter || this.about.blind || !wanted || this.redrawn.has(card.item)) return;
    this.redrawn.add(card.item);
    try {
      const { counts, path, iou } = await api.redraw(card.mask_id);
      if (this.on) Object.assign(card, { path, drawn: counts });
      else if (iou < MOST_ALIKE) card.suggested = { words: `the segmenter's mask of its box (IoU ${score(iou)} with this one)`, path, counts, source: "segmenter" };
      if (entry.ready && !entry.dropped) entry.draw();
      drawn();
    } catch {
      // the box stays what is proposed
    }
  }
}
