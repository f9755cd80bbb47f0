// The cards that this tab holds: leased from the server, decoded ahead, a bounded number of them.

import * as api from "/static/api.js";
import { Entry } from "/static/cards.js";

const HELD = 12; // cards in one-at-a-time review, the one that is shown included
const REFILL = 9;
const MOST_ASKED = 48;
const AGAIN_MS = 10000;
const SOON_MS = 200;
const LONGEST_WAIT_MS = 5000;
const HEARTBEAT_MS = 10000; // so that a crashed tab is soon told from an open one
const LEFT_ALONE_MS = 600000; // nobody is there: the leases may return to others

export class Deck {
  constructor({ client, outbox, clock, reviewer, pictures }, listener) {
    Object.assign(this, { client, outbox, clock, reviewer, pictures, listener });
    this.entries = [];
    this.images = []; // drawn images without a mask: they are asked about when all masks are done
    this.order = "queue";
    this.filter = { category: null, reason: null, kind: null, score: null };
    this.held = HELD;
    this.state = "asking"; // or: ready, done (all decided), busy (others have the rest), away
    this.turn = 0; // answers to questions of an earlier turn are given back
    this.asking = false;
    this.wait = 500;
    this.asked = performance.now();
    this.pinned = null; // the card in the editor
    this.stopped = ""; // why this page cannot go on: the server shows another queue, or audit
    setInterval(() => this.beat(), HEARTBEAT_MS);
  }

  get current() {
    return this.entries[0] || null;
  }

  // What was decided leaves first, then the event is kept, then more is asked for: so the event's
  // item is among what the page holds.
  remove(entries) {
    const gone = new Set(entries);
    this.entries = this.entries.filter((entry) => !gone.has(entry));
  }

  // To the front: what was undone, or taken out of a screen.
  putFirst(entries) {
    const items = new Set(entries.map((entry) => entry.card.item));
    this.entries = [...entries, ...this.entries.filter((entry) => !items.has(entry.card.item))];
    if (this.entries.length) this.state = "ready";
  }

  holding() {
    return [...new Set([...this.entries.map((entry) => entry.card.item), ...this.outbox.pendingItems()])];
  }

  async reset({ order = this.order, filter = this.filter, held = HELD, keep = [] } = {}) {
    const kept = new Set(keep);
    this.asked = performance.now();
    const back = this.entries.filter((entry) => !kept.has(entry));
    Object.assign(this, { order, filter, held, entries: keep, state: keep.length ? "ready" : "asking" });
    this.turn++;
    this.asking = false;
    const turn = this.turn;
    this.listener();
    await this.giveBack(back);
    if (turn === this.turn) this.fill(); // a later reset has asked already
  }

  async giveBack(entries) {
    entries.forEach((entry) => entry.drop());
    const items = entries.map((entry) => entry.card.item);
    if (items.length) await api.release(this.client, items).catch(() => {}); // else the lease runs out
  }

  // Cards that came too late; what was dealt again since then stays.
  async turnAway(cards) {
    const held = new Set(this.holding());
    await this.giveBack(cards.filter((card) => !held.has(card.item)).map((card) => new Entry(card)));
  }

  needs() {
    const low = this.held === HELD ? REFILL : this.held;
    return this.entries.length < low ? Math.min(MOST_ASKED, this.held - this.entries.length) : 0;
  }

  async fill(count = this.needs()) {
    if (this.asking || this.stopped || !count || this.state === "done") return;
    if (this.lost()) {
      await this.startOver();
      return;
    }
    this.asking = true;
    const { turn } = this;
    const unsettled = this.outbox.pendingItems();
    clearTimeout(this.later);
    try {
      const answer = await api.next(this.wish(count));
      this.asked = performance.now();
      if (turn === this.turn) {
        this.giveUp(answer.gone, unsettled);
        this.take(answer);
      } else await this.turnAway(answer.cards);
    } catch (error) {
      if (turn === this.turn) this.failed(error);
    } finally {
      if (turn === this.turn) this.asking = false;
    }
    if (turn === this.turn) this.listener();
    if (turn === this.turn && this.state === "ready" && this.needs() && !this.short) this.fill();
  }

  wish(count) {
    const { client, order, filter } = this;
    this.waited = this.outbox.records.length > 0;
    return { client, reviewer: this.reviewer(), count, order, filter, holding: this.holding() };
  }

  take({ cards, left, images, progress }) {
    this.wait = 500;
    this.images = images || [];
    const known = new Set(this.holding());
    const fresh = cards.filter((card) => !known.has(card.item)).map((card) => new Entry(card));
    this.entries.push(...fresh);
    this.short = fresh.length === 0;
    this.left = left;
    this.state = this.entries.length ? "ready" : left === 0 ? "done" : "busy";
    // While events waited, the server still counted their masks as open, and held by us.
    const waiting = this.outbox.records.length > 0;
    this.unsure = !this.entries.length && (waiting || (this.waited && left > 0));
    if (this.unsure) this.state = "busy";
    if (this.short && this.state !== "done") this.fillLater(this.unsure && !waiting ? SOON_MS : AGAIN_MS);
    this.loadInOrder(fresh);
    this.listener({ progress });
  }

  // A few at once: the first ones must not wait for the last.
  async loadInOrder(entries) {
    const waiting = [...entries];
    const worker = async () => {
      while (waiting.length) {
        const entry = waiting.shift();
        if (entry.dropped) continue;
        await entry.load(this.pictures);
        if (!entry.dropped) this.listener({ loaded: entry });
      }
    };
    await Promise.all([worker(), worker(), worker()]);
  }

  // What somebody else has now. Of items with events on their way the server cannot know better.
  giveUp(items, unsettled) {
    const lost = new Set((items || []).filter((item) => !unsettled.has(item)));
    const gone = this.entries.filter((entry) => lost.has(entry.card.item));
    if (!gone.length) return;
    const shown = gone.includes(this.current);
    this.remove(gone);
    gone.forEach((entry) => entry.drop());
    this.listener({ gone: shown });
  }

  failed(error) {
    if (!this.entries.length) this.state = "away";
    this.problem = error;
    this.fillLater(this.wait);
    this.wait = Math.min(2 * this.wait, LONGEST_WAIT_MS);
    if (error.mustSignIn || error.elsewhere) this.listener({ mustSignIn: error.mustSignIn, elsewhere: error.elsewhere });
  }

  stop(why) {
    this.stopped = why;
    clearTimeout(this.later);
  }

  fillLater(ms) {
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      if (this.clock.idleMs() > LEFT_ALONE_MS) this.fillLater(AGAIN_MS); // asking would keep the leases
      else this.fill(Math.max(1, this.needs()));
    }, ms);
  }

  // All events are saved: whether everything is decided can be told now.
  saved() {
    if (this.unsure) this.again();
    this.unsure = false;
  }

  again() {
    clearTimeout(this.later);
    if (this.state === "done") this.state = "asking";
    return this.fill(Math.max(1, this.needs()));
  }

  // Renews the leases while somebody is there; after a long absence the cards are asked for anew.
  beat() {
    if (this.stopped || this.clock.idleMs() > LEFT_ALONE_MS) return;
    if (this.lost()) {
      if (!document.hidden) this.startOver();
    } else if (performance.now() - this.asked > HEARTBEAT_MS / 2) this.renew();
  }

  // Whether the leases ran out, because nobody was there or the server was away. While it is away
  // there is nothing to ask anew; it says later whom a mask belongs to.
  lost() {
    const lease = Math.min(...this.entries.map((entry) => 1000 * (entry.card.lease_s || 600)));
    return performance.now() - this.asked > lease && !this.outbox.away;
  }

  startOver() {
    this.listener({ returned: true });
    return this.reset({ held: this.held, keep: this.pinned ? [this.pinned] : [] });
  }

  async renew() {
    const { turn } = this;
    if (this.asking) return;
    const unsettled = this.outbox.pendingItems();
    try {
      const { gone } = await api.alive({ client: this.client, reviewer: this.reviewer(), holding: this.holding() });
      this.asked = performance.now();
      if (turn === this.turn) this.giveUp(gone, unsettled);
      if (turn === this.turn && gone.length) this.fill();
    } catch (error) {
      this.problem = error;
      if (error.elsewhere) this.listener({ elsewhere: error.elsewhere });
    }
  }

  // The page is closed: what is not decided goes to others at once.
  farewell() {
    const pending = this.outbox.pendingItems();
    if (!this.stopped) api.leave(this.client, [...pending]);
  }
}
