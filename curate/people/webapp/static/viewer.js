// A stage of one or two panels that show the same part of a picture: fit, zoom, pan, pinch.
// Coordinates are pixels of the image, from the corner of the card's window.

import { TileLoader, tilesSeen } from "/static/tiles.js";

const MOST_SCALE = 48; // screen pixels for one of the image
const MOST_LEVEL = 20;
const CRISP_SCALE = 3; // from here on pixels are shown as squares

export class Viewer {
  // `placed` is called whenever another part of the picture is seen.
  constructor(panels, placed = () => {}) {
    Object.assign(this, { panels, placed });
    this.planes = [];
    this.chosen = null; // the scale that somebody chose; it stays for the next masks
    this.loaders = panels.map((_, k) => new TileLoader((tile) => this.lay(tile, k)));
    this.tiles = null; // of the image, where its pixel 0 lies at `corner`
    this.pointers = new Map();
    new ResizeObserver(() => this.layout()).observe(panels[0].parentElement);
    for (const panel of panels) this.listen(panel);
  }

  // `box` is where the picture lies, `view` tells by the panel's size what is to be seen of it, `tiles`
  // where finer pictures are.
  show(planes, box, view, tiles = null) {
    if (tiles?.address !== this.tiles?.address || planes[0] !== this.planes[0]) this.loaders.forEach((loader) => loader.clear());
    this.tiles = tiles;
    this.put(planes, box);
    this.view = { ...view(this.sizeNow()) };
    this.place();
  }

  // Other pictures of the same image in the place of these.
  swap(planes, box) {
    this.loaders.forEach((loader) => loader.clear());
    this.put(planes, box);
    this.place();
  }

  put(planes, box) {
    this.panels.forEach((panel, k) => {
      const plane = planes[k];
      panel.hidden = !plane;
      if (this.planes[k] && this.planes[k] !== plane) this.planes[k].remove();
      if (plane && plane.parentElement !== panel) panel.prepend(plane);
    });
    // Panels' sizes are read only when they can have changed: reading them costs a layout.
    if (this.two !== planes.length > 1 || !planes.length) this.size = null;
    Object.assign(this, { planes, box, two: planes.length > 1 });
  }

  sizeNow() {
    if (!this.size?.w) this.size = { w: this.panels[0].clientWidth, h: this.panels[0].clientHeight };
    return this.size;
  }

  layout() {
    this.size = null;
    this.place();
  }

  get scale() {
    const { w, h } = this.sizeNow();
    return Math.min(w / this.view.w, h / this.view.h);
  }

  place() {
    const { w, h } = this.sizeNow();
    if (!this.planes.length || !w || !h) return;
    const { scale, box, view } = this;
    const left = (box.x - view.x) * scale + (w - view.w * scale) / 2;
    const top = (box.y - view.y) * scale + (h - view.h * scale) / 2;
    for (const plane of this.planes) {
      const { style } = plane;
      style.left = `${left}px`;
      style.top = `${top}px`;
      style.width = `${box.w * scale}px`;
      style.height = `${box.h * scale}px`;
      const image = plane.querySelector("img");
      const sharp = image && scale * (box.w / (image.naturalWidth || 1)) > CRISP_SCALE;
      plane.classList.toggle("crisp", Boolean(sharp));
    }
    this.askTiles();
    this.placed();
  }

  // What is seen, in pixels of the image from the corner of the card's window.
  seen() {
    const { w, h } = this.sizeNow();
    const { scale, view } = this;
    return { x: view.x - (w / scale - view.w) / 2, y: view.y - (h / scale - view.h) / 2, w: w / scale, h: h / scale };
  }

  centre(x, y) {
    this.view = { ...this.view, x: x - this.view.w / 2, y: y - this.view.h / 2 };
    this.place();
  }

  askTiles() {
    const image = this.planes[0]?.querySelector("img");
    if (!this.tiles || !image) return;
    const { corner } = this.tiles;
    const seen = this.seen();
    const there = { ...seen, x: seen.x + corner.x, y: seen.y + corner.y };
    const tiles = tilesSeen(this.tiles, there, this.scale, (image.naturalWidth || 1) / this.box.w);
    this.planes.forEach((_, k) => this.loaders[k].ask(tiles));
  }

  lay({ image, box, level }, k) {
    const plane = this.planes[k];
    if (!plane || !this.tiles) return;
    const { corner } = this.tiles;
    const share = (value, whole) => `${(100 * value) / whole}%`;
    Object.assign(image.style, {
      left: share(box.x - corner.x - this.box.x, this.box.w), top: share(box.y - corner.y - this.box.y, this.box.h),
      width: share(box.w, this.box.w), height: share(box.h, this.box.h), zIndex: String(1 + MOST_LEVEL - level),
    });
    plane.querySelector("svg").before(image);
  }

  // Zooms about a point of a panel, given in its own pixels.
  zoom(factor, at = null) {
    if (!this.planes.length) return;
    const { w, h } = this.sizeNow();
    const [px, py] = at || [w / 2, h / 2];
    const { scale, view } = this;
    const least = 0.8 * Math.min(w / this.box.w, h / this.box.h);
    const to = Math.min(MOST_SCALE, Math.max(Math.min(least, scale), scale * factor));
    const x = view.x + (px - (w - view.w * scale) / 2) / scale;
    const y = view.y + (py - (h - view.h * scale) / 2) / scale;
    this.view = { x: x - px / to, y: y - py / to, w: w / to, h: h / to };
    this.chosen = to;
    this.place();
  }

  pan(dx, dy) {
    if (!this.planes.length) return;
    const { scale } = this;
    this.view = { ...this.view, x: this.view.x - dx / scale, y: this.view.y - dy / scale };
    this.place();
  }

  listen(panel) {
    panel.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), pointIn(panel, event));
    }, { passive: false });
    panel.addEventListener("pointerdown", (event) => {
      panel.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, pointIn(panel, event));
    });
    panel.addEventListener("pointermove", (event) => this.drag(event, pointIn(panel, event)));
    for (const end of ["pointerup", "pointercancel"]) {
      panel.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    }
  }

  drag(event, to) {
    const from = this.pointers.get(event.pointerId);
    if (!from) return;
    const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    this.pointers.set(event.pointerId, to);
    if (!other) {
      this.pan(to[0] - from[0], to[1] - from[1]);
      return;
    }
    const middle = [(to[0] + other[0]) / 2, (to[1] + other[1]) / 2];
    this.pan((to[0] - from[0]) / 2, (to[1] - from[1]) / 2);
    this.zoom(distance(to, other) / Math.max(1, distance(from, other)), middle);
  }
}

export const distance = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);

export function pointIn(node, event) {
  const box = node.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

// A box with some air around it, inside `limit`.
export function around({ x, y, w, h }, share, limit) {
  const air = Math.max(4, share * Math.max(w, h));
  const left = Math.max(limit.x, x - air);
  const top = Math.max(limit.y, y - air);
  return {
    x: left, y: top,
    w: Math.min(limit.x + limit.w, x + w + air) - left, h: Math.min(limit.y + limit.h, y + h + air) - top,
  };
}
