// What happens at each key and button: decisions, undo, and which view is shown.

import * as api from "/static/api.js";
import { Entry } from "/static/cards.js";
import { decideEvent } from "/static/decisions.js";
import { announce, byId, endToast, plural, setText, toast } from "/static/dom.js";
import { Drawing } from "/static/drawing.js";
import { ask } from "/static/choice.js";
import { imageOf, refusedWords, restWords } from "/static/wording.js";

const SAVED_MS = 3000;
const AHEAD = 4; // masks whose chosen level is drawn before they come
const SETTLED_MS = 5000;
const SAID = { accept: "Accepted", reject: "Rejected", fix: "Fixed" };

// Categories that somebody else gives a mask, and who.
function hintsOf({ detected, twin }) {
  const found = detected ? [[detected.name, `the ${detected.by}'s`]] : [];
  return twin?.duplicate && twin.category ? [...found, [twin.category, "its twin's"]] : found;
}

// Of a mask and its twin: what becomes of each, and how that is said.
const PAIRS = {
  keepThis: ["accept", "reject", "Kept this, rejected the other"],
  keepTwin: ["reject", "accept", "Kept the other, rejected this"],
  keepBoth: ["accept", "accept", "Kept both"],
  mergeTwin: ["fix", "reject", "Merged both"],
};

export class Review {
  constructor(parts) {
    Object.assign(this, parts);
    this.mode = "single";
    this.exceptions = new Set(); // items taken out of a screen, shown alone
    this.look = null; // image of which the last mask was just decided
    this.through = new Set(); // images that were asked about
    this.busy = false; // the editor or a question is open
    this.drawing = new Drawing(this, this.editor);
    this.single.shown = (entry) => this.comesUp(entry);
    this.looked.picked = (maskId) => this.judgeStanding(maskId);
  }

  open() {
    this.deck.reset({ order: "queue" });
  }

  act(name, detail) {
    if (document.querySelector("dialog:modal")) return;
    const view = document.body.dataset.view;
    if (this.picturePanel.act(name)) return;
    if (name === "every" && (view === "single" || view === "looked")) {
      this.every.toggle();
      this[view].drawEvery();
      return;
    }
    const deed = this[`${view}Act`];
    if (name === "help") byId("help").showModal();
    else if (name === "filter" && !this.busy) this.filters.open();
    else if (name === "bulk" && view !== "editor") this.decideInBulk();
    else if (name === "guide") this.showGuide();
    else if (name === "undo" && view !== "editor") this.undo();
    else if (name === "grid" && view !== "editor") this.turnMode();
    else if (name === "note" && view !== "editor") this.sayWhy();
    else if (name === "aside") this.showAside();
    else if (name === "who" && !this.busy) this.askWho();
    else if (deed) deed.call(this, name, detail);
  }

  // Which view is right now, by what there is.
  refresh(news = {}) {
    byId("note-button").hidden = this.proposals.on || !this.decisions.noted();
    if (this.busy) return;
    const { deck } = this;
    if (deck.stopped) {
      this.rest();
      return;
    }
    if (!this.look && deck.state === "done") this.look = this.bareImage();
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
    this.single.lookAhead(this.deck.entries.slice(1, AHEAD));
    if (fresh) this.clock.start();
    setText(byId("mode").firstChild, this.mode === "grid" ? "Back to the grid " : "Grid ");
  }

  // Whatever goes by the mask that is shown, however it came onto the stage.
  comesUp(entry) {
    this.guide.follow(entry.card.category);
    this.proposals.redraw(entry, () => { if (this.single.entry === entry) this.single.show(entry); });
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
    const { deck, filters, outbox, progress } = this;
    const [title, words] = restWords(deck, { filtered: filters.active, waiting: outbox.records.length, left: progress.known.left, unsettled: progress.known.unsettled });
    setText(byId("rest-title"), title);
    setText(byId("rest-words"), words);
    byId("rest-filter").hidden = !filters.active || deck.stopped;
    byId("rest-again").hidden = deck.state === "asking" || deck.state === "ready" || deck.stopped;
    byId("rest-undo").hidden = !this.decisions.steps.length || deck.stopped;
    byId("rest-reload").hidden = !deck.stopped;
    this.show("rest");
    this.ending.show(deck.state === "done" && !deck.stopped && !filters.active);
  }

  restAct(name) {
    if (name === "clear") this.filters.clear((filter) => this.filter(filter));
    if (name === "again") this.deck.again();
    if (name === "reload") location.reload();
  }

  singleAct(name) {
    const { single } = this;
    if (this.busy) return; // somebody looks for the right category of what is shown
    if (name === "accept" || name === "reject") this.decide(name);
    else if (name === "fix") this.fix();
    else if (name === "relabel") this.relabel();
    else if (name === "take") this.take();
    else if (name in PAIRS) this.judgePair(name);
    else if (name === "skip") this.skip();
    else if (name === "missing") this.drawing.addMissing(imageOf(this.deck.current.card));
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
    if (this.deck.lost()) {
      this.deck.startOver();
      return null;
    }
    return entry;
  }

  // `fix` holds what a fix changes: counts, category, or both.
  decide(action, entry = this.seen(), fix = {}, more = []) {
    if (!entry) return;
    if (action === "accept" && this.proposals.lacksCategory(entry.card)) {
      this.relabel();
      return;
    }
    if (entry.card.drawn && action !== "reject" && !fix.counts) {
      this.decide("fix", entry, { category: null, ...fix, counts: entry.card.drawn }, more);
      return;
    }
    endToast();
    const seconds = this.clock.seconds();
    this.progress.took(seconds);
    this.leave(entry, () => {
      const events = [decideEvent(entry, action, seconds, fix), ...more];
      const relabelled = action === "fix" && !fix.counts && !fix.suggested ? `Relabelled: ${fix.category}` : SAID[action];
      const said = this.proposals.said(action) ?? relabelled;
      this.decisions.record("decide", [entry], events, { said });
    });
  }

  // The suggested fix: the server knows the pixels, but those that the segmenter drew.
  take() {
    const entry = this.seen();
    if (!entry) return;
    const { suggested, image_id, category } = entry.card;
    if (!suggested) {
      toast("No fix is suggested for this mask.");
      return;
    }
    if (suggested.source === "duplicate") {
      this.decide("reject", entry);
      toast("Rejected: an exact copy.");
      return;
    }
    const fix = suggested.counts ? { counts: suggested.counts, suggested: "segmenter" } : { suggested: suggested.source };
    const parts = (suggested.added ?? []).map((counts) => ({ type: "missing", image_id, category, counts }));
    this.decide("fix", entry, fix, parts);
    toast(`Fixed: ${suggested.words}.`);
  }

  // Both masks were seen; the twin leaves the queue too, where it stands there.
  judgePair(name) {
    const entry = this.seen();
    if (!entry) return;
    const { twin, item } = entry.card;
    if (!twin) {
      toast("This mask has no twin.");
      return;
    }
    const [mine, its, said] = PAIRS[name];
    const seconds = this.clock.seconds();
    const other = this.deck.entries.find((each) => each.card.item === twin.item);
    const fix = mine === "fix" ? { suggested: "merge" } : {};
    const beside = { type: "decide", item: twin.item, action: its, seconds: null, beside: item };
    this.progress.took(seconds);
    this.leave(entry, () => {
      const entries = other ? [entry, other] : [entry];
      this.decisions.record("decide", entries, [decideEvent(entry, mine, seconds, fix), beside], { said });
    }, other ? [other] : []);
    toast(`${said}.`);
  }

  skip() {
    const entry = this.seen();
    if (!entry) return;
    this.leave(entry, () => {
      this.decisions.record("skip", [entry], [{ type: "skip", item: entry.card.item }], { said: "Skipped" });
    });
  }

  // The next card is on the stage before anything else is done.
  leave(entry, record, others = []) {
    const { deck } = this;
    deck.remove(others);
    const [, next] = deck.entries;
    // The outlines alone cannot tell whether anything is missing.
    if (entry.card.whole_image && this.about.crops) this.look = imageOf(entry.card);
    this.exceptions.delete(entry.card.item);
    const straight = next && !this.look && !(this.mode === "grid" && !this.exceptions.has(next.card.item));
    deck.remove([entry]);
    if (straight) this.single.show(next);
    this.clock.start();
    record();
    deck.fill();
    this.refresh();
  }

  async sayWhy() {
    const step = this.decisions.noted();
    if (this.busy || this.deck.stopped || this.proposals.on) return;
    if (!step) {
      toast("Reject or fix a mask, then say why.");
      return;
    }
    this.busy = true; // the next mask waits
    const [entry] = step.entries;
    const words = [step.said, entry.card.category].filter(Boolean).join(": ");
    const note = await this.noteDialog.open(words, step.note ?? { tags: [], comment: "" });
    this.busy = false;
    if (note) {
      this.decisions.note(step, note);
      toast("Saved why.");
    }
    this.clock.start();
    this.refresh();
  }

  async showGuide() {
    if (!(await this.guide.turn())) toast("This project has no guidelines: `curate review --guidelines` takes them.");
  }

  // What was decided one by one is on the disk first: it is no part of the count.
  async decideInBulk() {
    if (this.busy || this.deck.stopped) return;
    if (!this.about.bulk || !this.filters.active) {
      toast(this.about.bulk ? "Filter first, then decide on all that fit." : "This queue needs a look at each mask.");
      return;
    }
    this.busy = true;
    await this.outbox.settled(SETTLED_MS);
    const made = await this.bulk.open(this.filters.now, this.deck.reviewer());
    this.busy = false;
    this.clock.start();
    if (made) {
      this.decisions.steps.push({ kind: "bulk", entries: [], events: [], number: made.number, said: made.said });
      toast(`${made.said}. U takes all of it back.`);
      this.deck.reset({ held: this.deck.held });
    } else this.refresh();
  }

  async undoBulk(step) {
    try {
      await api.undoBulk(step.number, this.deck.reviewer());
      toast(`Taken back: ${step.said}.`);
      this.deck.reset({ held: this.deck.held });
    } catch (error) {
      this.decisions.steps.push(step);
      toast(`Not taken back: ${error.message}`, "wrong");
    }
  }

  undo() {
    if (this.deck.stopped) return;
    const step = this.decisions.undo();
    if (!step) {
      this.undoEarlier();
      return;
    }
    if (step.kind === "bulk") {
      this.undoBulk(step);
      return;
    }
    this.drawing.takenBack(step.events);
    this.progress.tookBack(step.events);
    if (step.kind === "standing") this.looked.gone.delete(step.maskId);
    const entries = step.entries.map((entry) => (entry.dropped ? new Entry(entry.card) : entry));
    if (step.kind === "looked") this.look = step.image;
    else if (entries.length) this.look = null;
    if (this.look) this.through.delete(this.look.image_id);
    this.deck.putFirst(entries);
    this.deck.loadInOrder(entries.filter((entry) => !entry.ready));
    if (this.mode === "grid" && step.kind !== "screen") entries.forEach((entry) => this.exceptions.add(entry.card.item));
    if (step.kind === "screen") entries.forEach((entry) => this.exceptions.delete(entry.card.item));
    this.refresh();
    if (this.look && (step.kind === "missing" || step.kind === "standing")) this.looked.again();
    toast(`Taken back: ${step.said}.`);
  }

  // What this person decided before the page was loaded, as the server has it.
  async undoEarlier() {
    if (this.busy || this.asking) return;
    this.asking = true;
    await this.outbox.settled(SAVED_MS); // what is on its way is not taken back twice
    const last = await api.last(this.reviewer()).catch(() => ({ card: null }));
    this.asking = false;
    if (!last.card || this.decisions.steps.length) {
      if (!this.decisions.steps.length) toast("There is nothing to undo.");
      return;
    }
    this.decisions.undoEarlier(last);
    const entry = new Entry(last.card);
    this.look = null;
    this.deck.putFirst([entry]);
    this.deck.loadInOrder([entry]);
    if (this.mode === "grid") this.exceptions.add(entry.card.item);
    this.refresh();
    toast(`Taken back: ${SAID[last.action]}, before the page was loaded.`);
  }

  fix() {
    const entry = this.seen();
    if (entry) this.drawing.fix(entry);
  }

  // The card stays while somebody looks for the right category.
  async relabel() {
    const entry = this.seen();
    if (!entry) return;
    const { deck } = this;
    Object.assign(this, { busy: true });
    deck.pinned = entry;
    const category = await this.picker.open(entry.card.category, hintsOf(entry.card));
    this.busy = false;
    deck.pinned = null;
    const gone = !deck.entries.includes(entry);
    if (!gone && deck.current !== entry) deck.putFirst([entry]);
    if (category === null || (gone && !(await this.drawing.sendsAnyway()))) this.refresh();
    else {
      this.decide("fix", entry, { category });
      toast(`${this.proposals.on ? "Added" : "Relabelled"}: ${category}.`);
    }
  }

  // A drawn image without masks: only missing ones can be told of it.
  bareImage() {
    const asked = this.about.crops ? this.deck.images : [];
    return asked.find((image) => !this.through.has(image.image_id)) || null;
  }

  imageIsThrough() {
    const { deck, look } = this;
    const more = deck.entries.some((entry) => entry.card.image_id === look.image_id);
    if (more) this.look = null;
    return !more && (deck.current !== null || deck.state === "done" || deck.state === "busy");
  }

  askLooked() {
    const { look } = this;
    if (document.body.dataset.view !== "looked" && this.looked.image !== look) this.clock.start();
    this.show("looked");
    this.looked.open(look, () => this.drawing.addedTo(look));
  }

  lookedAct(name) {
    const image = this.look;
    if (name === "missing") this.drawing.addMissing(image).then(() => this.looked.again());
    else if (name === "unanswered" || (name === "nothing" && this.looked.ready)) {
      this.look = null;
      this.through.add(image.image_id);
      if (name === "unanswered") this.looked.image = null;
      else this.decisions.record("looked", [], [{ type: "looked", image_id: image.image_id, seconds: this.clock.seconds() }], { said: "Nothing is missing", image });
      this.clock.start();
      this.refresh();
    } else this.looked.act(name);
  }

  // A mask that stands on the whole image, such as a prefilled one: people can still say that it is
  // wrong. The time that takes is part of the search of the image.
  async judgeStanding(maskId) {
    const mask = this.looked.found?.masks.find((each) => each.mask_id === maskId);
    const image = this.look;
    if (!mask || !image || this.busy || this.deck.stopped) return;
    this.busy = true;
    const words = `It is drawn as ${mask.category ?? "no category"}.`;
    const wanted = await ask(`Mask ${maskId}`, words, [["fix", "Fix it"], ["reject", "Reject it"], ["", "Leave it as it is"]]);
    this.busy = false;
    if (!wanted) return;  // drawn anew, the masks would miss a click that follows at once
    const done = wanted === "fix" ? await this.drawing.fixStanding(image, mask) : { action: wanted };
    if (done.action === "reject" || done.action === "fix") {
      const { action, counts = null, category = null, parts = [] } = done;
      const card = { item: `${maskId}.0` };
      const events = [decideEvent({ card }, action, 0, { counts, category }), ...parts];
      const [{ key }] = this.decisions.record("standing", [], events, { said: `${SAID[action]} mask ${maskId}`, maskId });
      if (counts || action === "reject") this.looked.gone.add(maskId);
      if (counts) this.drawing.remember(key, image, counts);
      toast(`${SAID[action]} mask ${maskId}.`);
    }
    this.refresh();
    if (this.look === image) this.looked.again();
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
    if (name === "screen") this.decideScreen("accept");
    else if (name === "screenReject") this.decideScreen("reject");
    else if (name === "out") this.grid.turn(detail instanceof Element ? detail : null);
    else if (name === "gridReject") this.grid.turn(null, "reject");
    else this.grid.move(name);
  }

  // What is not taken out is accepted, or all of it rejected: each mask of the screen was seen.
  decideScreen(wanted) {
    if (this.deck.lost()) {
      this.deck.startOver();
      return;
    }
    const { accept, reject, out } = this.grid.sorted();
    // Masks without a category stay, to be named one at a time.
    const nameless = wanted === "accept" ? accept.filter((entry) => this.proposals.lacksCategory(entry.card)) : [];
    for (const entry of nameless) accept.splice(accept.indexOf(entry), 1);
    out.push(...nameless);
    const decided = [...this.grid.cells.keys()].filter((entry) => accept.includes(entry) || reject.includes(entry));
    if (!decided.length && !out.length) return;
    const seconds = this.clock.seconds();
    const each = decided.length ? Math.round((1000 * seconds) / (decided.length + out.length)) / 1000 : 0;
    this.progress.took(each * decided.length, decided.length);
    const events = decided.map((entry) => decideEvent(entry, accept.includes(entry) ? wanted : "reject", each));
    this.grid.forget([...decided, ...out]);
    for (const entry of out) this.exceptions.add(entry.card.item);
    this.deck.remove(decided);
    this.deck.entries = [...out, ...this.deck.entries.filter((entry) => !out.includes(entry))];
    this.clock.start();
    if (events.length) this.decisions.record("screen", decided, events, { said: `screen of ${decided.length}` });
    this.deck.fill();
    this.refresh();
    const taken = wanted === "accept" ? accept.length : 0;
    const rejected = decided.length - taken;
    announce(`${plural(taken, "mask", "masks")} accepted${rejected ? `, ${rejected} rejected` : ""}.`);
  }

  filter(filter) {
    this.exceptions.clear();
    this.grid.cells.clear();
    this.deck.reset({ filter, held: this.deck.held });
  }

  refused(records) {
    this.decisions.forget(records.map((each) => each.key));
    toast(`Not taken: ${records[0].refused}`, "wrong");
  }

  async showAside() {
    const { outbox } = this;
    const words = refusedWords(outbox.aside);
    if (await ask("Not taken by the server", words, [["", "Keep them here"], ["forget", "Forget them"]])) outbox.forgetAside();
  }

  // Somebody else sits down: the masks on the screen are asked for anew, for them.
  newPerson() {
    this.decisions.clear();
    this.editor.categories.last = undefined;
    this.look = null;
    this.through.clear();
    this.exceptions.clear();
    this.grid.cells.clear();
    this.deck.reset({ held: this.deck.held });
    this.clock.start();
  }

  // All pictures anew: the server draws them with another window of their values.
  reloadPictures() {
    const { deck, grid } = this;
    deck.entries.forEach((entry) => entry.outdate());
    for (const cell of grid.cells.values()) cell.node = null;
    deck.loadInOrder(deck.entries);
    const view = document.body.dataset.view;
    if (view === "editor") this.editor.loadPictures();
    else if (view === "looked") this.looked.again();
    else this.refresh();
  }

  resized() {
    if (this.mode !== "grid") return;
    this.capacity = this.grid.capacity();
    this.refresh();
  }
}
