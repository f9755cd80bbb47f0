// The editor's canvas. It draws what the viewport shows and no more, so that the size of the image
// does not matter. The mask is sampled from its own pixels; zoomed in, they are shown exactly.

import { byId } from "/static/dom.js";
import { MASK } from "/static/paint.js";
import { blends } from "/static/picture_settings.js";
import { TileLoader, tilesSeen } from "/static/tiles.js";

const MOST_CELLS = 1500000; // of the drawing of the mask
const EDGE_SCALE = 4; // from here on the outline is drawn as lines between pixels
const GRID_SCALE = 10;
const MOST_SCALE = 64;
const COLOURS = [[255, 220, 74], [75, 215, 255], [255, 122, 217], [140, 240, 120], [255, 150, 70], [170, 150, 255]];

const colourOf = (label) => COLOURS[(label - MASK) % COLOURS.length];
// ImageData is read byte by byte: red lies lowest on every machine that browsers run on.
const packed = ([red, green, blue], alpha) => ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;

export class Canvas {
  constructor(node) {
    this.node = node;
    this.context = node.getContext("2d");
    this.ground = byId("ground"); // the pictures alone, so that only they are adjusted
    this.layer = document.createElement("canvas");
    this.view = { x: 0, y: 0, scale: 1 }; // image pixel at the corner; CSS pixels for one of the image
    this.loader = new TileLoader(() => this.draw());
    this.reset(null);
    new ResizeObserver(() => this.draw()).observe(node.parentElement);
  }

  reset(raster) {
    this.loader.clear();
    this.tiles = null;
    Object.assign(this, { raster, pictures: [], others: null, showMask: true, showOthers: false, sketch: {} });
  }

  get size() {
    return { w: this.node.parentElement.clientWidth, h: this.node.parentElement.clientHeight };
  }

  fit({ x0, y0, x1, y1 }, air = 0.12) {
    const { w, h } = this.size;
    const pad = air * Math.max(x1 - x0, y1 - y0, 8);
    const scale = Math.min(MOST_SCALE, w / (x1 - x0 + 2 * pad), h / (y1 - y0 + 2 * pad));
    this.view = { scale, x: (x0 + x1) / 2 - w / scale / 2, y: (y0 + y1) / 2 - h / scale / 2 };
    this.draw();
  }

  toImage([px, py]) {
    return [this.view.x + px / this.view.scale, this.view.y + py / this.view.scale];
  }

  zoom(factor, at = null) {
    const { w, h } = this.size;
    const [px, py] = at || [w / 2, h / 2];
    const [x, y] = this.toImage([px, py]);
    const least = Math.min(1, 0.5 * Math.min(w / this.raster.width, h / this.raster.height));
    const scale = Math.min(MOST_SCALE, Math.max(least, this.view.scale * factor));
    this.view = { scale, x: x - px / scale, y: y - py / scale };
    this.draw();
  }

  pan(dx, dy) {
    const { view } = this;
    this.view = { ...view, x: view.x - dx / view.scale, y: view.y - dy / view.scale };
    this.draw();
  }

  // Many changes in one frame are drawn once.
  draw() {
    const { x, y, scale } = this.view;
    this.node.dataset.place = `${x} ${y} ${scale}`;
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      if (this.raster && this.size.w) this.paint();
    });
  }

  paint() {
    const { node, context, size } = this;
    const ratio = devicePixelRatio || 1;
    const [w, h] = [Math.round(size.w * ratio), Math.round(size.h * ratio)];
    if (node.width !== w || node.height !== h) Object.assign(node, { width: w, height: h });
    const scale = this.view.scale * ratio;
    const place = [scale, 0, 0, scale, -this.view.x * scale, -this.view.y * scale];
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, w, h);
    context.setTransform(...place);
    this.paintPictures(place, w, h);
    if (this.showOthers && this.others) this.line(this.others, scale, ratio, "#aeb6bf", 1);
    if (this.showMask) this.paintMask(scale, ratio);
    this.paintGrid(ratio);
    this.paintSketch(scale, ratio);
  }

  paintPictures(place, w, h) {
    const { ground, raster } = this;
    const context = ground.getContext("2d");
    if (ground.width !== w || ground.height !== h) Object.assign(ground, { width: w, height: h });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, w, h);
    context.setTransform(...place);
    if (!this.pictures.length) {
      context.fillStyle = "#3a4149";
      context.fillRect(0, 0, raster.width, raster.height);
    }
    for (const { image, box } of this.pictures) {
      context.imageSmoothingEnabled = blends(place[0] * (box.w / image.naturalWidth));
      context.drawImage(image, box.x, box.y, box.w, box.h);
    }
    this.paintTiles(context, place[0]);
  }

  // Of a large picture, what is finer than what lies below.
  paintTiles(context, scale) {
    const [coarse] = this.pictures;
    if (!this.tiles || !coarse) return;
    const [x, y] = this.toImage([0, 0]);
    const { w, h } = this.size;
    const seen = { x, y, w: w / this.view.scale, h: h / this.view.scale };
    this.loader.ask(tilesSeen(this.tiles, seen, this.view.scale, coarse.image.naturalWidth / coarse.box.w));
    const ready = this.loader.ready();
    this.node.dataset.tiles = String(ready.length);
    for (const { image, box } of ready) {
      context.imageSmoothingEnabled = blends(scale * (box.w / image.naturalWidth));
      context.drawImage(image, box.x, box.y, box.w, box.h);
    }
  }

  // The pixels of the image that can be seen, ends excluded.
  visible() {
    const { w, h } = this.size;
    const [x1, y1] = this.toImage([w, h]);
    return {
      x0: Math.max(0, Math.floor(this.view.x)), y0: Math.max(0, Math.floor(this.view.y)),
      x1: Math.min(this.raster.width, Math.ceil(x1)), y1: Math.min(this.raster.height, Math.ceil(y1)),
    };
  }

  paintMask(scale, ratio) {
    const { x0, y0, x1, y1 } = this.visible();
    if (x1 <= x0 || y1 <= y0) return;
    const step = Math.max(1, 1 / scale, Math.sqrt(((x1 - x0) * (y1 - y0)) / MOST_CELLS));
    const [columns, rows] = [Math.ceil((x1 - x0) / step), Math.ceil((y1 - y0) / step)];
    const labels = this.sample(x0, y0, step, columns, rows);
    const lines = scale >= EDGE_SCALE;
    Object.assign(this.layer, { width: columns, height: rows });
    const layer = this.layer.getContext("2d");
    layer.putImageData(shade(labels, columns, rows, !lines), 0, 0);
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(this.layer, x0, y0, columns * step, rows * step);
    if (lines) this.edges(labels, columns, rows, x0, y0, scale, ratio);
  }

  sample(x0, y0, step, columns, rows) {
    const { data, width, height } = this.raster;
    const labels = new Uint8Array(columns * rows);
    const xs = Array.from({ length: columns }, (_, k) => Math.min(width - 1, x0 + Math.floor((k + (step > 1 ? 0.5 : 0)) * step)));
    for (let row = 0, at = 0; row < rows; row++) {
      const start = Math.min(height - 1, y0 + Math.floor((row + (step > 1 ? 0.5 : 0)) * step)) * width;
      for (let column = 0; column < columns; column++, at++) labels[at] = data[start + xs[column]];
    }
    return labels;
  }

  edges(labels, columns, rows, x0, y0, scale, ratio) {
    const paths = new Map();
    const add = (label, ax, ay, bx, by) => {
      if (!paths.has(label)) paths.set(label, new Path2D());
      paths.get(label).moveTo(x0 + ax, y0 + ay);
      paths.get(label).lineTo(x0 + bx, y0 + by);
    };
    for (let y = 0; y <= rows; y++) {
      for (let x = 0; x <= columns; x++) {
        const here = x < columns && y < rows ? labels[y * columns + x] : 0;
        const left = x > 0 && y < rows ? labels[y * columns + x - 1] : 0;
        const above = y > 0 && x < columns ? labels[(y - 1) * columns + x] : 0;
        if (here !== left && y < rows) add(here || left, x, y, x, y + 1);
        if (here !== above && x < columns) add(here || above, x, y, x + 1, y);
      }
    }
    for (const [label, path] of paths) this.line(path, scale, ratio, `rgb(${colourOf(label)})`, 1.6);
  }

  line(path, scale, ratio, colour, thick) {
    const { context } = this;
    context.lineJoin = context.lineCap = "round";
    for (const [style, wide] of [["rgba(0, 0, 0, .62)", thick + 2], [colour, thick]]) {
      context.strokeStyle = style;
      context.lineWidth = (wide * ratio) / scale;
      context.stroke(path);
    }
  }

  paintGrid(ratio) {
    if (this.view.scale < GRID_SCALE) return;
    const { x0, y0, x1, y1 } = this.visible();
    const path = new Path2D();
    for (let x = x0; x <= x1; x++) { path.moveTo(x, y0); path.lineTo(x, y1); }
    for (let y = y0; y <= y1; y++) { path.moveTo(x0, y); path.lineTo(x1, y); }
    this.context.strokeStyle = "rgba(128, 136, 145, .35)";
    this.context.lineWidth = 1 / (this.view.scale * ratio);
    this.context.stroke(path);
  }

  // What is being drawn right now: the brush's ring, a polygon or a line, the clicks.
  paintSketch(scale, ratio) {
    const { line, ring, cross, points } = this.sketch;
    if (line && line.length) {
      const path = new Path2D();
      line.forEach(([x, y], k) => (k ? path.lineTo(x, y) : path.moveTo(x, y)));
      this.line(path, scale, ratio, "#fff", 1.6);
      this.dots(line.slice(0, 1).map((point) => [...point, "#fff"]), scale, ratio);
    }
    if (ring) {
      const path = new Path2D();
      path.arc(ring[0], ring[1], Math.max(ring[2], 0.5), 0, 2 * Math.PI);
      this.line(path, scale, ratio, "#fff", 1.2);
    }
    if (cross) {
      const arm = (9 * ratio) / scale;
      const path = new Path2D();
      path.moveTo(cross[0] - arm, cross[1]);
      path.lineTo(cross[0] + arm, cross[1]);
      path.moveTo(cross[0], cross[1] - arm);
      path.lineTo(cross[0], cross[1] + arm);
      this.line(path, scale, ratio, "#fff", 1.4);
    }
    if (points) this.dots(points.map(([x, y, label]) => [x, y, label ? "#57e389" : "#ff6b8f"]), scale, ratio);
  }

  dots(dots, scale, ratio) {
    for (const [x, y, colour] of dots) {
      const path = new Path2D();
      path.arc(x, y, (4 * ratio) / scale, 0, 2 * Math.PI);
      this.line(path, scale, ratio, colour, 2);
      this.context.fillStyle = colour;
      this.context.fill(path);
    }
  }
}

function shade(labels, columns, rows, outlined) {
  const image = new ImageData(columns, rows);
  const out = new Uint32Array(image.data.buffer);
  const halo = packed([0, 0, 0], 150);
  const fills = COLOURS.map((colour) => packed(colour, 72));
  const lines = COLOURS.map((colour) => packed(colour, 255));
  for (let y = 0, at = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, at++) {
      const here = labels[at];
      const left = x ? labels[at - 1] : here;
      const right = x + 1 < columns ? labels[at + 1] : here;
      const above = y ? labels[at - columns] : here;
      const below = y + 1 < rows ? labels[at + columns] : here;
      const edge = outlined && (left !== here || right !== here || above !== here || below !== here);
      if (here) out[at] = (edge ? lines : fills)[(here - MASK) % COLOURS.length];
      else if (edge) out[at] = halo;
    }
  }
  return image;
}
