// What is said becomes events; what was said last can be taken back, one by one.

import { uuid } from "/static/dom.js";

const REMEMBERED = 300; // steps that undo goes back
const PICTURES_KEPT = 6; // of those, the ones whose pictures are still here

const stamp = (event) => ({ key: uuid(), at: Date.now(), ...event });

export class Decisions {
  constructor({ outbox, reviewer }) {
    Object.assign(this, { outbox, reviewer });
    this.steps = [];
  }

  // One step of undo: events that belong together, and the cards they were about.
  record(kind, entries, events, more = {}) {
    const stamped = events.map(stamp);
    this.steps.push({ kind, entries, events: stamped, ...more });
    this.outbox.put(stamped, this.reviewer());
    if (this.steps.length > REMEMBERED) this.steps.shift();
    const old = this.steps[this.steps.length - 1 - PICTURES_KEPT];
    if (old) old.entries.forEach((entry) => entry.drop());
    return stamped;
  }

  // The last step, if it is one mask that was rejected or fixed.
  noted() {
    const step = this.steps[this.steps.length - 1];
    const event = step?.events[0];
    return step?.kind === "decide" && event && event.action !== "accept" ? step : null;
  }

  // Why a mask was rejected or fixed; it goes with its decision when that is taken back.
  note(step, note) {
    const [{ key, item }] = step.events;
    Object.assign(step, { note });
    this.outbox.put([stamp({ type: "note", of: key, item, ...note })], this.reviewer());
  }

  // Takes the last step back and returns it, or null when there is none.
  undo() {
    const step = this.steps.pop();
    if (!step) return null;
    const back = [...step.events].reverse().map(opposite).filter(Boolean).map(stamp);
    if (back.length) this.outbox.put(back, this.reviewer());
    return step;
  }

  // Takes back what was decided before the page was loaded; `last` is what the server knows of it.
  // The masks that it split off go with it.
  undoEarlier({ key, card, added = [] }) {
    const { item, image_id, category } = card;
    const parts = added.map((counts) => ({ type: "withdraw_missing", of: key, image_id, category, counts }));
    this.outbox.put([{ type: "withdraw", of: key, item }, ...parts].map(stamp), this.reviewer());
  }

  // Another person sits down: nobody takes back what somebody else said.
  clear() {
    this.steps.forEach((step) => step.entries.forEach((entry) => entry.drop()));
    this.steps = [];
  }

  // What the server refused never happened: there is nothing to take back.
  forget(keys) {
    const gone = new Set(keys);
    for (const step of this.steps) step.events = step.events.filter((event) => !gone.has(event.key));
    this.steps = this.steps.filter((step) => step.events.length || step.kind === "bulk");
  }
}

// A fix has the new counts, the right category, or both; what stays is null.
// One that takes a suggestion says which: the server then knows the pixels, or where they are from.
export function decideEvent(entry, action, seconds, { counts = null, category = null, suggested = "" } = {}) {
  const event = { type: "decide", item: entry.card.item, action, seconds };
  return action === "fix" ? { ...event, counts, category, suggested } : event;
}

function opposite(event) {
  if (event.type === "decide") {
    const beside = event.beside ? { beside: event.beside } : {};
    return { type: "withdraw", of: event.key, item: event.item, ...beside };
  }
  if (event.type === "missing") {
    const { image_id, category, counts } = event;
    return { type: "withdraw_missing", of: event.key, image_id, category, counts };
  }
  if (event.type === "skip") return { type: "unskip", item: event.item };
  return null; // that somebody looked at an image stays true
}
