// What happens at each key and button: decisions, undo, and which view is shown.

import { Entry } from "/static/cards.js";
import { decideEvent } from "/static/decisions.js";
import { barsOf } from "/static/rle.js";
import { announce, byId, plural, setText, toast } from "/static/dom.js";
import { imageOf, restWords } from "/static/wording.js";

const SAID = { accept: "Accepted", reject: "Rejected", fix: "Fixed" };

export class Review {
  constructor(parts) {
    Object.assign(this, parts);
    this.mode = "single";
    this.exceptions = new Set(); // items taken out of a screen, shown alone
    this.look = null; // image of which the last mask was just decided
    this.busy = false; // the editor or a question is open
    this.added = []; // missing masks that were added here, as paths
  }

  open() {
    this.deck.reset({ order: "queue" });
  }

  act(name, detail) {
    if (byId("help").open || byId("filter").open || byId("choice").open) return;
    const view = document.body.dataset.view;
    const deed = this[`${view}Act`];
    if (name === "help") byId("help").showModal();
    else if (name === "filter" && !this.busy) this.filters.open();
    else if (name === "undo" && view !== "editor") this.undo();
    else if (name === "grid" && view !== "editor") this.turnMode();
    else if (deed) deed.call(this, name, detail);
  }

  // Which view is right now, by what there is.
  refresh(news = {}) {
    if (this.busy) return;
    const { deck } = this;
    if (this.look && this.imageIsThrough()) {
      this.askLooked();
      return;
    }
    if (!deck.current || (this.look && deck.state !== "ready")) this.rest();
    else if (this.mode === "grid" && !this.exceptions.has(deck.current.card.item)) this.screen();
    else if (this.single.entry !== deck.current || news.loaded === deck.current || document.body.dataset.view !== "single") this.one();
  }

  one() {
    const entry = this.deck.current;
    const fresh = this.single.entry !== entry || this.single.stage.dataset.ready !== String(entry.ready);
    this.show("single");
    this.single.show(entry);
    if (fresh) this.clock.start();
    setText(byId("mode").firstChild, this.mode === "grid" ? "Back to the grid " : "Grid ");
  }

  screen() {
    const entries = this.deck.entries.slice(0, this.capacity);
    const fresh = document.body.dataset.view !== "grid";
    this.show("grid");
    this.single.clear();
    this.grid.show(entries);
    if (fresh) this.clock.start();
    setText(byId("mode").firstChild, "One at a time ");
  }

  rest() {
    this.single.clear();
    const [title, words] = restWords(this.deck, this.filters.active, this.outbox.records.length);
    setText(byId("rest-title"), title);
    setText(byId("rest-words"), words);
    byId("rest-filter").hidden = !this.filters.active;
    byId("rest-again").hidden = this.deck.state === "asking" || this.deck.state === "ready";
    byId("rest-undo").hidden = !this.decisions.steps.length;
    this.show("rest");
  }

  restAct(name) {
    if (name === "clear") this.filters.clear((filter) => this.filter(filter));
    if (name === "again") this.deck.again();
  }

  singleAct(name) {
    const { single } = this;
    if (name === "accept" || name === "reject") this.decide(name);
    else if (name === "fix") this.fix();
    else if (name === "skip") this.skip();
    else if (name === "missing") this.addMissing(imageOf(this.deck.current.card));
    else if (name === "zoom") single.zoom();
    else if (name === "reason") single.nextReason();
    else if (name === "mask" || name === "others") single.toggle(name);
    else if (name === "larger" || name === "smaller") single.viewer.zoom(name === "larger" ? 1.4 : 1 / 1.4);
  }

  // The card that may be decided: one that was seen, and is still ours.
  seen() {
    const entry = this.deck.current;
    if (!entry || !entry.ready) {
      toast("Its picture is still being fetched.");
      return null;
    }
    // Without a server there is nothing to ask anew; it says later whom a mask belongs to.
    if (this.deck.lost() && !this.outbox.away) {
      this.deck.reset();
      toast("You were away for long, so these masks went back. Here they are anew.");
      return null;
    }
    return entry;
  }

  decide(action, entry = this.seen(), counts = null, more = []) {
    if (!entry) return;
    const seconds = this.clock.seconds();
    this.progress.took(seconds);
    this.leave(entry, () => {
      const events = [decideEvent(entry, action, seconds, counts), ...more];
      this.decisions.record("decide", [entry], events, { said: SAID[action] });
    });
  }

  skip() {
    const entry = this.seen();
    if (!entry) return;
    this.leave(entry, () => {
      this.decisions.record("skip", [entry], [{ type: "skip", item: entry.card.item }], { said: "Skipped" });
    });
  }

  // The next card is on the stage before anything else is done.
  leave(entry, record) {
    const { deck } = this;
    const [, next] = deck.entries;
    if (entry.card.whole_image) this.look = imageOf(entry.card);
    this.exceptions.delete(entry.card.item);
    const straight = next && !this.look && !(this.mode === "grid" && !this.exceptions.has(next.card.item));
    deck.remove([entry]);
    if (straight) this.single.show(next);
    this.clock.start();
    record();
    deck.fill();
    this.refresh();
  }

  undo() {
    const step = this.decisions.undo();
    if (!step) {
      toast("There is nothing to undo.");
      return;
    }
    const gone = new Set(step.events.map((event) => event.key));
    this.added = this.added.filter((each) => !gone.has(each.key));
    const entries = step.entries.map((entry) => (entry.dropped ? new Entry(entry.card) : entry));
    this.look = step.kind === "looked" ? step.image : null;
    this.deck.putFirst(entries);
    this.deck.loadInOrder(entries.filter((entry) => !entry.ready));
    if (this.mode === "grid" && step.kind !== "screen") entries.forEach((entry) => this.exceptions.add(entry.card.item));
    if (step.kind === "screen") entries.forEach((entry) => this.exceptions.delete(entry.card.item));
    this.refresh();
    if (step.kind === "skip") this.deck.renew();
    toast(`Taken back: ${step.said}.`);
  }

  async fix() {
    const entry = this.seen();
    if (!entry) return;
    this.busy = true;
    const result = await this.editor.open({ mode: "fix", image: imageOf(entry.card), card: entry.card });
    this.busy = false;
    this.single.entry = null; // the stage is drawn again
    if (this.deck.current !== entry) this.deck.putFirst([entry]);
    if (result.action === "fix") {
      const { image_id, category } = entry.card;
      const more = result.parts.map((counts) => ({ type: "missing", image_id, category, counts }));
      this.decide("fix", entry, result.counts, more);
    } else if (result.action) this.decide(result.action, entry);
    else this.returned();
  }

  returned() {
    const spent = this.clock.seconds();
    this.refresh();
    this.clock.spent = 1000 * spent; // the time in the editor was spent on this mask
  }

  // Time spent on a missing mask is not the current one's.
  async addMissing(image) {
    const { spent } = this.clock;
    this.busy = true;
    const result = await this.editor.open({ mode: "missing", image, card: null, added: this.addedTo(image) });
    this.busy = false;
    this.single.entry = null;
    if (result.action === "missing") {
      const { category, counts } = result;
      const event = { type: "missing", image_id: image.image_id, category, counts };
      const [{ key }] = this.decisions.record("missing", [], [event], { said: "Added mask" });
      this.added.push({ key, image_id: image.image_id, path: barsOf(counts, image.height) });
      toast(`Added: ${category}.`);
    }
    this.refresh();
    this.clock.spent = spent;
  }

  addedTo(image) {
    return this.added.filter((each) => each.image_id === image.image_id).map((each) => each.path).join("");
  }

  imageIsThrough() {
    const { deck, look } = this;
    const more = deck.entries.some((entry) => entry.card.image_id === look.image_id);
    if (more) this.look = null;
    return !more && (deck.current !== null || deck.state === "done" || deck.state === "busy");
  }

  async askLooked() {
    const { look } = this;
    this.show("looked");
    await this.looked.open(look, () => this.addedTo(look));
  }

  lookedAct(name) {
    if (name === "nothing" && this.looked.ready) {
      const image = this.look;
      this.look = null;
      this.decisions.record("looked", [], [{ type: "looked", image_id: image.image_id }], { said: "Nothing is missing", image });
      this.clock.start();
      this.refresh();
    } else if (name === "missing") this.addMissing(this.look).then(() => this.looked.again());
    else this.looked.act(name);
  }

  editorAct(name, event) {
    this.editor.act(name, event);
  }

  turnMode() {
    this.exceptions.clear();
    const alone = document.body.dataset.view === "single" && this.mode === "grid";
    if (!alone) this.mode = this.mode === "grid" ? "single" : "grid";
    this.single.clear();
    this.grid.cells.clear();
    this.capacity = this.grid.capacity();
    const order = this.mode === "grid" && !this.about.blind ? "best" : "queue";
    const held = this.mode === "grid" ? Math.min(48, 2 * this.capacity) : undefined;
    if (alone) this.refresh();
    else this.deck.reset({ order, held });
    announce(this.mode === "grid" ? "Grid" : "One at a time");
  }

  gridAct(name, detail) {
    if (name === "screen") this.acceptScreen();
    else if (name === "out") this.grid.turn(detail instanceof Element ? detail : null);
    else if (name === "gridReject") this.grid.turn(null, "reject");
    else this.grid.move(name);
  }

  acceptScreen() {
    const { accept, reject, out } = this.grid.sorted();
    const decided = [...this.grid.cells.keys()].filter((entry) => accept.includes(entry) || reject.includes(entry));
    if (!decided.length && !out.length) return;
    const seconds = this.clock.seconds();
    const each = decided.length ? Math.round((1000 * seconds) / (decided.length + out.length)) / 1000 : 0;
    this.progress.took(each * decided.length, decided.length);
    const events = decided.map((entry) => decideEvent(entry, accept.includes(entry) ? "accept" : "reject", each));
    this.grid.forget([...decided, ...out]);
    for (const entry of out) this.exceptions.add(entry.card.item);
    this.deck.remove(decided);
    this.deck.entries = [...out, ...this.deck.entries.filter((entry) => !out.includes(entry))];
    this.clock.start();
    if (events.length) this.decisions.record("screen", decided, events, { said: `screen of ${decided.length}` });
    this.deck.fill();
    this.refresh();
    announce(`${plural(accept.length, "mask", "masks")} accepted.`);
  }

  filter(filter) {
    this.exceptions.clear();
    this.grid.cells.clear();
    this.deck.reset({ filter, held: this.deck.held });
  }

  refused(refused) {
    this.decisions.forget(refused.map((each) => each.key));
    toast(`Not taken: ${refused[0].error}`, "wrong");
  }

  resized() {
    if (this.mode !== "grid") return;
    this.capacity = this.grid.capacity();
    this.refresh();
  }
}
