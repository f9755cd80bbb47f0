// What people said, kept until the server has it. Every event is written to IndexedDB and sent with
// its own key until the server says done: after a reload, after the server was down, from any tab of
// this browser. The server knows the keys, so sending again changes nothing.

import * as api from "/static/api.js";

const MOST_EVENTS = 20;
const MOST_CHARACTERS = 400000;
const KEEPALIVE_CHARACTERS = 60000; // what browsers let a closing page send
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;

function openStore() {
  return new Promise((resolve) => {
    let request;
    try {
      request = indexedDB.open("curate-review", 1);
    } catch {
      resolve(null); // a private window may have none: events then live as long as the tab
      return;
    }
    request.onupgradeneeded = () => {
      request.result.createObjectStore("events", { keyPath: ["order", "key"] });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(null);
  });
}

// IndexedDB writes a moment later, and a page that is closed in that moment loses it. What is small
// is therefore noted in localStorage first, which is written before the key press has ended.
const NOTE = "curate-review-event-";
const LARGEST_NOTE = 50000;

function note(record) {
  try {
    const text = JSON.stringify(record);
    if (text.length < LARGEST_NOTE) localStorage.setItem(NOTE + record.key, text);
  } catch {
    // full or forbidden: IndexedDB alone has to do
  }
}

function unnote(record) {
  try {
    localStorage.removeItem(NOTE + record.key);
  } catch {
    // see above
  }
}

function noted() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(NOTE)).map((key) => JSON.parse(localStorage.getItem(key)));
  } catch {
    return [];
  }
}

function finished(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

async function allOf(store) {
  const request = store.transaction("events").objectStore("events").getAll();
  await finished(request.transaction);
  return request.result;
}

export class Outbox {
  constructor(client, audit, listener) {
    Object.assign(this, { client, audit, listener });
    this.records = [];
    this.refused = [];
    this.store = null;
    this.last = 0;
    this.sending = null;
    this.away = false;
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
    const known = new Set(this.records.map((record) => record.key));
    for (const record of [...stored, ...noted()]) {
      if (record.audit !== this.audit || known.has(record.key)) continue;
      known.add(record.key);
      this.records.push(record);
    }
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

  write(change, then = () => {}) {
    if (!this.store) return;
    const transaction = this.store.transaction("events", "readwrite", { durability: "relaxed" });
    change(transaction.objectStore("events"));
    finished(transaction).then(then, () => { this.durable = false; this.changed(); });
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
    while (this.records.length) {
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
      this.single = false;
      return this.settle(answer);
    } catch (error) {
      return this.failed(error, records);
    }
  }

  settle({ done, refused, progress }) {
    this.away = false;
    this.wait = FIRST_WAIT_MS;
    this.refused.push(...refused);
    const settled = this.remove([...done, ...refused.map((each) => each.key)]);
    this.changed({ progress, refused });
    return settled > 0;
  }

  failed(error, records) {
    if (error.mustSignIn || error.away) {
      this.away = true;
      this.changed({ mustSignIn: error.mustSignIn });
      return false;
    }
    // The request itself is refused. Alone, the event is to blame; else each is sent by itself.
    if (records.length > 1) {
      this.single = true;
      return true;
    }
    const refused = [{ key: records[0].key, error: error.message }];
    return this.settle({ done: [], refused, progress: null });
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
    if (!this.records.length) return;
    const batch = this.batch();
    const size = batch.reduce((sum, record) => sum + JSON.stringify(record.event).length + 40, 200);
    if (size < KEEPALIVE_CHARACTERS) this.sendBatch(batch, true);
  }

  changed(news = {}) {
    this.listener({ waiting: this.records.length, away: this.away, durable: this.durable, ...news });
  }
}
