// Seconds that somebody spent looking: a hidden tab does not count, nor does a long pause.

const PAUSE_MS = 120000;
const SIGNS = ["pointermove", "pointerdown", "keydown", "wheel", "touchmove"];

export class Clock {
  constructor(now = () => performance.now()) {
    this.now = now;
    this.spent = 0;
    this.seen = now();
    this.hidden = document.hidden;
    for (const sign of SIGNS) addEventListener(sign, () => this.tick(), { capture: true, passive: true });
    document.addEventListener("visibilitychange", () => this.turn());
  }

  start() {
    this.spent = 0;
    this.seen = this.now();
  }

  tick() {
    const time = this.now();
    const gap = time - this.seen;
    if (!this.hidden && gap <= PAUSE_MS) this.spent += gap;
    this.seen = time;
  }

  turn() {
    this.tick();
    this.hidden = document.hidden;
  }

  idleMs() {
    return this.now() - this.seen;
  }

  seconds() {
    this.tick();
    return Math.round(this.spent) / 1000;
  }
}
