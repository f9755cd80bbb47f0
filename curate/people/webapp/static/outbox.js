// What people said, kept until the server has it. Every event is written to IndexedDB and sent with
// its own key until the server says done: after a reload, after the server was down, from any tab of
// this browser. The server knows the keys, so sending again changes nothing. Only what the server
// itself refuses is not sent again, and that is kept aside until somebody has read why.

import * as api from "/static/api.js";
import { allOf, finished, note, noted, openStore, unnote } from "/static/store.js";

const MOST_EVENTS = 20;
const MOST_CHARACTERS = 400000;
const KEEPALIVE_CHARACTERS = 60000; // what browsers let a closing page send
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;

const keysOf = (list) => (Array.isArray(list) ? list.map((each) => each?.key ?? each) : []);

export class Outbox {
  // `audit` names the queue: what was said of another one is not sent to this one.
  constructor(client, audit, listener) {
    Object.assign(this, { client, audit, listener });
    this.records = [];
    this.aside = []; // what the server refused
    this.others = 0; // events of other queues that wait in this browser
    this.stopped = false; // the server shows another queue now
    this.store = null;
    this.last = 0;
    this.sending = null;
    this.away = false;
    this.trouble = ""; // why the server cannot save anything now, in its own words
    this.durable = true;
    this.wait = FIRST_WAIT_MS;
  }

  async open() {
    this.store = await openStore();
    this.durable = this.store !== null;
    await this.adopt();
    addEventListener("online", () => this.hurry());
    return this;
  }

  // Takes over what other tabs, or this one before a reload, left unsent.
  async adopt() {
    const stored = this.store ? await allOf(this.store) : [];
    const known = new Set([...this.records, ...this.aside].map((record) => record.key));
    const others = new Set();
    for (const record of [...stored, ...noted()]) {
      if (known.has(record.key)) continue;
      if (record.audit !== this.audit) {
        if (!record.refused) others.add(record.key);
        continue;
      }
      known.add(record.key);
      (record.refused ? this.aside : this.records).push(record);
    }
    this.others = others.size;
    this.records.sort((a, b) => a.order - b.order);
    this.changed();
  }

  put(events, reviewer) {
    const made = events.map((event) => {
      this.last = Math.max(this.last + 1, Date.now() * 1000);
      return { order: this.last, key: event.key, audit: this.audit, client: this.client, reviewer, event };
    });
    this.records.push(...made);
    made.forEach(note);
    this.write((store) => made.forEach((record) => store.put(record)), () => made.forEach(unnote));
    this.changed();
    setTimeout(() => this.hurry(), 0);
  }

  // Resolves when the store has it, or has failed to take it.
  async write(change, then = () => {}) {
    if (!this.store) return;
    const transaction = this.store.transaction("events", "readwrite", { durability: "relaxed" });
    change(transaction.objectStore("events"));
    await finished(transaction).then(then, () => { this.durable = false; this.changed(); });
  }

  // Items that the server may still think open although they were decided here.
  pendingItems() {
    return new Set(this.records.map((record) => record.event.item).filter(Boolean));
  }

  hurry() {
    this.wait = FIRST_WAIT_MS;
    if (this.wake) this.wake();
    return this.flush();
  }

  flush() {
    if (!this.sending) this.sending = this.sendAll().finally(() => { this.sending = null; });
    return this.sending;
  }

  async sendAll() {
    while (this.records.length && !this.stopped) {
      if (!(await this.sendBatch(this.batch()))) await this.pause();
    }
  }

  // Resolves at once when all is sent, or after `ms` when the server is away.
  settled(ms) {
    return Promise.race([this.flush(), new Promise((resolve) => { setTimeout(resolve, ms); })]);
  }

  pause() {
    const wait = this.wait;
    this.wait = Math.min(2 * wait, LONGEST_WAIT_MS);
    return new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, wait);
    });
  }

  // The oldest events of one tab and one person, in the order they were made.
  batch(most = this.single ? 1 : MOST_EVENTS) {
    const [first] = this.records;
    const batch = [];
    let size = 0;
    for (const record of this.records) {
      size += (record.event.counts || "").length + 300;
      const same = record.client === first.client && record.reviewer === first.reviewer;
      if (!same || batch.length === most || (batch.length && size > MOST_CHARACTERS)) break;
      batch.push(record);
    }
    return batch;
  }

  async sendBatch(records, keepalive = false) {
    const { client, reviewer } = records[0];
    const events = records.map((record) => record.event);
    try {
      const answer = await api.send({ client, reviewer, now: Date.now(), events }, keepalive);
      return this.settle(answer, records);
    } catch (error) {
      return this.failed(error, records);
    }
  }

  // Only what the answer names is settled; an answer that names nothing is none.
  settle(answer, records) {
    const sent = new Map(records.map((record) => [record.key, record]));
    const done = keysOf(answer?.done).filter((key) => sent.has(key));
    const refused = keysOf(answer?.refused).filter((key) => sent.has(key));
    if (!done.length && !refused.length) return this.failed(new api.ApiError(0, "No answer."), records);
    const why = new Map(answer.refused?.map((each) => [each.key, each.error]));
    this.single = this.away = false;
    this.trouble = "";
    this.wait = FIRST_WAIT_MS;
    this.remove(done);
    this.putAside(refused.map((key) => ({ ...sent.get(key), refused: String(why.get(key)) })));
    this.changed({ progress: answer.progress, refused: this.aside.filter((record) => refused.includes(record.key)) });
    return true;
  }

  failed(error, records) {
    if (!error.unfit) {
      this.away = true;
      this.trouble = error.trouble;
      this.changed({ mustSignIn: error.mustSignIn, elsewhere: error.elsewhere });
      return false;
    }
    // The request itself is refused. Alone, the event is to blame; else each is sent by itself.
    if (records.length > 1) {
      this.single = true;
      return true;
    }
    return this.settle({ refused: [{ key: records[0].key, error: error.message }] }, records);
  }

  // What the server refused is not sent again, but it does not vanish either.
  putAside(records) {
    const gone = new Set(records.map((record) => record.key));
    this.records = this.records.filter((record) => !gone.has(record.key));
    this.aside.push(...records);
    records.forEach(note);
    this.write((store) => records.forEach((record) => store.put(record)), () => records.forEach(unnote));
  }

  // Shown until the store has forgotten them: a page reloaded before that would show them again.
  async forgetAside() {
    const gone = new Set(this.aside);
    gone.forEach(unnote);
    await this.write((store) => gone.forEach((record) => store.delete([record.order, record.key])));
    this.aside = this.aside.filter((record) => !gone.has(record));
    this.changed();
  }

  stop() {
    this.stopped = true;
    if (this.wake) this.wake();
    this.changed();
  }

  remove(keys) {
    const gone = new Set(keys);
    const records = this.records.filter((record) => gone.has(record.key));
    this.records = this.records.filter((record) => !gone.has(record.key));
    records.forEach(unnote);
    this.write((store) => records.forEach((record) => store.delete([record.order, record.key])));
    return records.length;
  }

  // A page that is being closed sends what fits; the rest is in the store for the next time.
  farewell() {
    if (!this.records.length || this.stopped) return;
    const batch = this.batch();
    const size = batch.reduce((sum, record) => sum + JSON.stringify(record.event).length + 40, 200);
    if (size < KEEPALIVE_CHARACTERS) this.sendBatch(batch, true);
  }

  changed(news = {}) {
    const { records, aside, others, away, trouble, durable, stopped } = this;
    this.listener({ waiting: records.length, aside: aside.length, others, away, trouble, durable, stopped, ...news });
  }
}
