// A card with its picture: fetched, decoded ahead, and drawn ready to be put on the stage.

import * as api from "/static/api.js";
import { el, sleep, svg } from "/static/dom.js";
import { withLevels } from "/static/picture_settings.js";

const WAITS_MS = [500, 1000, 2000, 3000];

export async function loadImage(url) {
  const blob = await api.picture(withLevels(url));
  const image = el("img", { alt: "", draggable: "false" });
  image.src = URL.createObjectURL(blob);
  try {
    await image.decode();
  } catch {
    URL.revokeObjectURL(image.src);
    throw new api.ApiError(415, "The picture cannot be shown.", true);
  }
  return image;
}

export const copyOf = (image) => el("img", { alt: "", draggable: "false", src: image.src });

// Outlines over a picture, each with a dark halo, so that they are seen on any picture.
export function outlines(box, layers) {
  const paths = layers.filter((layer) => layer.path).flatMap(({ path, kind, transform }) => {
    const parts = { others: ["halo", "line"], new: ["fill"], changed: ["fill"], suggested: ["halo", "line"] }[kind] || ["fill", "halo", "line"];
    return parts.map((part) => svg("path", { d: path, transform, class: `${part} ${kind}` }));
  });
  return svg("svg", { viewBox: `${box.x} ${box.y} ${box.w} ${box.h}`, "aria-hidden": "true", preserveAspectRatio: "none" }, ...paths);
}

// A suggested fix: its outline, dashed, and the pixels that it changes, those in one of both outlines
// and not in both. Where the outline moves all around, the edge below is to be seen, so nothing is filled.
export function changedBy({ path, suggested }) {
  if (!suggested?.path || suggested.path === path) return [];
  const filled = suggested.source === "verifier" ? [] : [{ path: path + suggested.path, kind: "changed" }];
  return [...filled, { path: suggested.path, kind: "suggested" }];
}

// What the mask was to agree with: the point it was prompted with, the box that its source states.
export function marksOf({ point, declared }, box) {
  const radius = Math.max(box.w, box.h) / 60;
  const made = [];
  if (declared) {
    const [x, y, width, height] = declared;
    made.push(svg("rect", { x, y, width, height, class: "mark box" }));
  }
  if (point) {
    const [cx, cy] = [point[0] + 0.5, point[1] + 0.5];
    made.push(svg("circle", { cx, cy, r: radius, class: "halo" }), svg("circle", { cx, cy, r: radius, class: "mark" }));
    made.push(svg("circle", { cx, cy, r: radius / 5, class: "mark dot" }));
  }
  return made;
}

export function planeOf(image, drawing) {
  return el("div", { class: "plane" }, image, drawing);
}

export class Entry {
  constructor(card) {
    this.card = card;
    this.window = { x: 0, y: 0, w: card.window.w, h: card.window.h };
    this.image = null;
    this.error = null;
    this.dropped = false;
    this.more = new Map(); // pictures of other zoom levels
    this.drawn = new Map(); // and what is drawn for them
  }

  get ready() {
    return this.image !== null || this.error !== null;
  }

  // Waits out a server that is away; any other failure is final, and the outline is shown alone.
  async load(hasPictures) {
    if (!hasPictures || !this.card.picture) this.error = "There are no pictures with this audit.";
    for (let attempt = 0; !this.ready && !this.dropped; attempt++) {
      try {
        this.image = await loadImage(this.card.picture);
      } catch (error) {
        if (!error.away) this.error = error.message;
        else await sleep(WAITS_MS[Math.min(attempt, WAITS_MS.length - 1)]);
      }
    }
    if (this.dropped) this.forget();
    else this.draw();
    return this;
  }

  draw() {
    const { card, window } = this;
    this.drawn.clear();
    const others = { path: card.others, kind: "others" };
    const mine = outlines(window, [others, { path: card.path, kind: "mine" }, ...changedBy(card)]);
    mine.append(...marksOf(card.marks, window));
    this.planes = [planeOf(this.image, mine)];
    if (card.twin) {
      const image = this.image && copyOf(this.image);
      this.planes.push(planeOf(image, outlines(window, [others, { path: card.twin.path, kind: "twin" }])));
    }
  }

  // The picture of another zoom level; null when it cannot be had.
  async picture(view) {
    if (!this.more.has(view)) {
      const url = api.otherView(this.card.picture, view);
      this.more.set(view, loadImage(url).catch(() => { this.more.delete(view); return null; }));
    }
    return this.more.get(view);
  }

  // Its picture is to be fetched anew, since it is to be drawn otherwise.
  outdate() {
    this.forget();
    this.error = null;
  }

  drop() {
    this.dropped = true;
    this.forget();
  }

  forget() {
    for (const loading of this.more.values()) loading.then((image) => image && URL.revokeObjectURL(image.src));
    if (this.image) URL.revokeObjectURL(this.image.src);
    this.planes = this.image = null;
    this.more.clear();
    this.drawn.clear();
  }
}
