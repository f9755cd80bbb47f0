// Undo and redo of the editor: of each step only the rectangle that it changed is kept.

const MOST_STEPS = 200;
const MOST_BYTES = 96 * 1024 * 1024;

export function copyOut(raster, { x0, y0, x1, y1 }) {
  const out = new Uint8Array((x1 - x0) * (y1 - y0));
  for (let y = y0; y < y1; y++) {
    const start = y * raster.width;
    out.set(raster.data.subarray(start + x0, start + x1), (y - y0) * (x1 - x0));
  }
  return out;
}

function putBack(raster, { x0, y0, x1, y1 }, pixels) {
  for (let y = y0; y < y1; y++) {
    const row = (y - y0) * (x1 - x0);
    raster.data.set(pixels.subarray(row, row + x1 - x0), y * raster.width + x0);
  }
}

export class Strokes {
  constructor(raster) {
    this.raster = raster;
    this.before = null;
    this.done = [];
    this.undone = [];
    this.changes = 0; // how often pixels may have changed
  }

  begin() {
    this.before = { ...this.raster, data: this.raster.data.slice() };
  }

  // Ends a step; `box` is what it may have changed. Returns whether there is a step.
  commit(box) {
    const { before } = this;
    this.before = null;
    if (!box) return false;
    this.changes++;
    this.done.push({ box, pixels: copyOut(before, box) });
    this.undone = [];
    let bytes = this.done.reduce((sum, step) => sum + step.pixels.length, 0);
    while (this.done.length > MOST_STEPS || (bytes > MOST_BYTES && this.done.length > 1)) {
      bytes -= this.done.shift().pixels.length;
    }
    return true;
  }

  // Takes back a step that has not ended, as when a second finger comes down.
  cancel() {
    if (this.before) this.raster.data.set(this.before.data);
    this.before = null;
  }

  undo() {
    return this.turn(this.done, this.undone);
  }

  redo() {
    return this.turn(this.undone, this.done);
  }

  turn(from, to) {
    const step = from.pop();
    if (!step) return false;
    this.changes++;
    to.push({ box: step.box, pixels: copyOut(this.raster, step.box) });
    putBack(this.raster, step.box, step.pixels);
    return true;
  }
}
