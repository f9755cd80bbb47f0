// What happens around the editor: a mask is fixed or split, a missing one is added.

import * as api from "/static/api.js";
import { ask } from "/static/choice.js";
import { toast } from "/static/dom.js";
import { barsOf } from "/static/rle.js";
import { imageOf } from "/static/wording.js";

export class Drawing {
  constructor(review, editor) {
    Object.assign(this, { review, editor });
    this.added = []; // missing masks that were added here, as paths
  }

  // While the editor is open nothing else comes on the screen, and its card stays.
  async edit(wish, card = null) {
    const { review } = this;
    Object.assign(review, { busy: true });
    review.deck.pinned = card;
    const result = await this.editor.open(wish);
    review.busy = false;
    review.deck.pinned = null;
    review.single.entry = null; // the stage is drawn again
    return result;
  }

  async fix(entry) {
    const { review } = this;
    const { deck } = review;
    const result = await this.edit({ mode: "fix", image: imageOf(entry.card), card: entry.card }, entry);
    const gone = !deck.entries.includes(entry);
    if (!gone && deck.current !== entry) deck.putFirst([entry]);
    if (!result.action || (gone && !(await this.sendsAnyway()))) this.returned();
    else if (result.action === "fix") {
      const { image_id } = entry.card;
      const { counts, category } = result; // the category is null where it stays
      const parts = result.parts.map((part) => ({ type: "missing", image_id, category: category ?? entry.card.category, counts: part }));
      review.decide("fix", entry, { counts, category }, parts);
    } else review.decide(result.action, entry);
  }

  sendsAnyway() {
    return ask("This mask was assigned to another reviewer", "It was open for too long.", [["", "Leave it to them"], ["send", "Save mine too"]]);
  }

  returned() {
    const { clock } = this.review;
    const spent = clock.seconds();
    this.review.refresh();
    clock.spent = 1000 * spent; // the time in the editor was spent on this mask
  }

  // Time spent on a missing mask is not the current one's.
  async addMissing(image) {
    const { review } = this;
    const { spent } = review.clock;
    const result = await this.edit({ mode: "missing", image, card: null, added: this.addedTo(image).join("") }, review.deck.current);
    if (result.action === "missing") {
      const { category, counts } = result;
      const seconds = Math.max(0, Math.round(1000 * review.clock.seconds() - spent) / 1000);
      const event = { type: "missing", image_id: image.image_id, category, counts, seconds };
      const [{ key }] = review.decisions.record("missing", [], [event], { said: "Added mask" });
      this.remember(key, image, counts);
      toast(category === null ? "Added." : `Added: ${category}.`);
    }
    review.refresh();
    review.clock.spent = spent;
  }

  // Returns what becomes of a mask of an image that is searched: {action, counts, category, parts}.
  async fixStanding(image, { mask_id, category }) {
    const { window } = await api.mask(mask_id).catch(() => ({ window: null }));
    if (!window) return { action: null };
    const card = { mask_id, category, window };
    const shown = { ...image, picture: null, picture_of: mask_id };
    const result = await this.edit({ mode: "fix", image: shown, card }, this.review.deck.current);
    const parts = (result.parts ?? []).map((counts) => ({ type: "missing", image_id: image.image_id, category: result.category ?? category, counts }));
    return { ...result, parts };
  }

  // A mask that was drawn on an image that is searched is shown on it.
  remember(key, image, counts) {
    this.added.push({ key, image_id: image.image_id, path: barsOf(counts, image.height) });
  }

  addedTo(image) {
    return this.added.filter((each) => each.image_id === image.image_id).map((each) => each.path);
  }

  takenBack(events) {
    const gone = new Set(events.map((event) => event.key));
    this.added = this.added.filter((each) => !gone.has(each.key));
  }
}
