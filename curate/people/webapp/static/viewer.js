// A stage of one or two panels that show the same part of a picture: fit, zoom, pan, pinch.
// Coordinates are pixels of the image, from the corner of the card's window.

const MOST_SCALE = 48; // screen pixels for one of the image
const CRISP_SCALE = 3; // from here on pixels are shown as squares

export class Viewer {
  constructor(panels) {
    this.panels = panels;
    this.planes = [];
    this.pointers = new Map();
    new ResizeObserver(() => this.layout()).observe(panels[0].parentElement);
    for (const panel of panels) this.listen(panel);
  }

  // `box` is where the picture lies, `view` what is to be seen of it.
  show(planes, box, view) {
    this.panels.forEach((panel, k) => {
      const plane = planes[k];
      panel.hidden = !plane;
      if (this.planes[k] && this.planes[k] !== plane) this.planes[k].remove();
      if (plane && plane.parentElement !== panel) panel.prepend(plane);
    });
    Object.assign(this, { planes, box, view: { ...view } });
    this.measure();
    this.layout();
  }

  // Panels' sizes are read only when they can have changed: reading them costs a layout.
  measure() {
    const two = this.planes.length > 1;
    if (this.two !== two) this.size = null;
    this.two = two;
  }

  sizeNow() {
    if (!this.size) this.size = { w: this.panels[0].clientWidth, h: this.panels[0].clientHeight };
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
