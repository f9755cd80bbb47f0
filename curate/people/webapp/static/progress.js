// How far the queue is, how fast it goes, how long it takes; and whether all is saved.

import { byId, count, plural, setText } from "/static/dom.js";

export class Progress {
  constructor(about) {
    this.about = about;
    this.known = { decided: 0, mine: 0, total: about.total, left: about.total };
    this.spent = 0;
    this.decided = 0; // since the page was loaded, and not taken back
    this.pending = 0;
    this.looked = 0; // images of the outbox that were searched
  }

  update({ progress, records }) {
    if (progress) this.known = progress;
    if (records) this.pending = records.reduce((sum, { event }) => sum + weight(event), 0);
    if (records) this.looked = records.filter(({ event }) => event.type === "looked").length;
    this.draw();
  }

  took(seconds, masks = 1) {
    this.spent += seconds;
    this.decided += masks;
  }

  // What was taken back took its time, and is no decided mask.
  tookBack(events) {
    this.decided = Math.max(0, this.decided - events.reduce((sum, event) => sum + weight(event), 0));
  }

  // Seconds a mask of this session: what the line above, the time left and the end card say.
  pace() {
    return this.decided ? this.spent / this.decided : null;
  }

  // The shorter of what the queue takes and what is left of the minutes that people have.
  timeLeft(left) {
    const pace = this.pace() ?? this.about.seconds_per_mask;
    const times = [left * pace];
    if (this.about.minutes) times.push(Math.max(0, 60 * this.about.minutes - this.spent));
    return Math.min(...times);
  }

  draw() {
    const { total, images } = this.known;
    if (!total && images) return this.drawImages(images);
    const decided = Math.max(0, Math.min(total, this.known.decided + this.pending));
    const mine = Math.max(0, this.known.mine + this.pending);
    const share = total ? (100 * decided) / total : 100;
    fill(share, "Decided masks of this queue", `${decided} of ${total}`);
    const parts = [`${count(decided)} of ${count(total)}`];
    if (mine !== decided) parts.push(`${count(mine)} by you`);
    const pace = this.pace();
    if (pace !== null) parts.push(paceWords(pace));
    const left = total - decided;
    if (left > 0) parts.push(`${duration(this.timeLeft(left))} left`);
    setText(byId("progress-words"), parts.join(" · "));
  }

  // Where no mask is proposed people only search images and draw.
  drawImages(images) {
    const searched = Math.min(images, this.known.searched + this.looked);
    const words = `${count(searched)} of ${plural(images, "image", "images")} searched`;
    fill((100 * searched) / images, "Searched images of this queue", words);
    setText(byId("progress-words"), words);
  }
}

function fill(share, label, words) {
  byId("progress-fill").style.width = `${share}%`;
  const bar = byId("progress");
  bar.setAttribute("aria-label", label);
  bar.setAttribute("aria-valuenow", String(Math.floor(share)));
  bar.setAttribute("aria-valuetext", words);
}

export const paceWords = (seconds) => `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s a mask`;

function weight(event) {
  if (event.beside) return 0; // a twin, which may be of no row of the queue
  if (event.type === "decide") return 1;
  return event.type === "withdraw" ? -1 : 0;
}

function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return "1 min";
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(minutes < 600 ? 1 : 0)} h`;
}

// The small light in the corner, and a line for what does not fit beside it.
export function showSaved({ waiting, away, trouble, durable, stopped, aside, others }) {
  const state = away || stopped ? "away" : waiting ? "waiting" : "saved";
  const kept = durable ? "" : ", kept in this tab only";
  const offline = stopped ? "Stopped" : trouble ? "Not saved" : "Offline";
  const words = {
    saved: "Saved", waiting: `${count(waiting)} waiting`,
    away: waiting ? `${offline}, ${plural(waiting, "decision", "decisions")} kept` : offline,
  };
  byId("saved").dataset.state = state;
  setText(byId("saved-words"), words[state] + (waiting ? kept : ""));
  const lines = [];
  if (trouble && waiting) lines.push(`Nothing can be saved now: ${trouble}. ${plural(waiting, "decision is", "decisions are")} kept here and sent when it can.`);
  if (others) lines.push(`${plural(others, "decision", "decisions")} of another queue ${others === 1 ? "waits" : "wait"} in this browser.`);
  if (aside) lines.push(`${plural(aside, "decision was", "decisions were")} not taken by the server.`);
  setText(byId("strip-words"), lines.join(" "));
  byId("strip").hidden = !lines.length;
  byId("strip-show").hidden = !aside;
}
