// A small picture of the whole image that shows where the stage's window lies. A click moves there.

import { otherView } from "/static/api.js";
import { byId } from "/static/dom.js";
import { withLevels } from "/static/picture_settings.js";

const LONGEST_PX = 132;
const NARROW = { page: 740, longest: 84 };
const SOON_MS = 120; // a mask that is passed quickly needs no picture here
const ALL = 0.98; // this much of the image seen is all of it
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Minimap {
  // `move` is called with the pixel of the image that is to be in the middle.
  constructor(move) {
    Object.assign(this, { move, root: byId("minimap"), url: "" });
    this.image = this.root.querySelector("img");
    this.frame = this.root.querySelector("i");
    this.image.addEventListener("error", () => { this.image.hidden = true; });
    this.root.addEventListener("pointerdown", (event) => this.follow(event));
    this.root.addEventListener("pointermove", (event) => { if (event.buttons) this.follow(event); });
    this.root.addEventListener("keydown", (event) => this.key(event));
  }

  hide() {
    clearTimeout(this.soon);
    this.root.hidden = true;
  }

  // `seen` is what the stage shows, in pixels of the image.
  show({ width, height, picture }, seen) {
    const share = (from, size, most) => Math.max(0, Math.min(most, from + size) - Math.max(0, from)) / most;
    const all = share(seen.x, seen.w, width) > ALL && share(seen.y, seen.h, height) > ALL;
    this.root.hidden = all || !picture;
    if (this.root.hidden) return;
    Object.assign(this, { width, height, seen });
    this.scale = (innerWidth < NARROW.page ? NARROW.longest : LONGEST_PX) / Math.max(width, height);
    const place = (node, x, y, w, h) => Object.assign(node.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
    Object.assign(this.root.style, { width: `${Math.max(24, width * this.scale)}px`, height: `${Math.max(24, height * this.scale)}px` });
    const [left, top] = [Math.max(0, seen.x), Math.max(0, seen.y)];
    const [w, h] = [Math.min(width, seen.x + seen.w) - left, Math.min(height, seen.y + seen.h) - top];
    place(this.frame, left * this.scale, top * this.scale, Math.max(5, w * this.scale), Math.max(5, h * this.scale));
    this.load(withLevels(otherView(picture, "map")));
  }

  load(url) {
    if (url === this.url) return;
    this.url = url;
    this.image.hidden = true;
    clearTimeout(this.soon);
    this.soon = setTimeout(() => {
      this.image.onload = () => { this.image.hidden = false; };
      this.image.src = url;
    }, SOON_MS);
  }

  follow(event) {
    event.stopPropagation(); // the stage would move its picture
    const box = this.root.getBoundingClientRect();
    this.move((event.clientX - box.left) / this.scale, (event.clientY - box.top) / this.scale);
  }

  key(event) {
    const step = KEYS[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const { x, y, w, h } = this.seen;
    const clip = (value, most) => Math.max(0, Math.min(most, value));
    this.move(clip(x + w / 2 + (step[0] * w) / 4, this.width), clip(y + h / 2 + (step[1] * h) / 4, this.height));
  }
}
