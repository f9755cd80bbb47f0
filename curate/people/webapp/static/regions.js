// Tools that follow what is connected: holes, islands, parts. As everywhere in curate, pieces of a
// mask are 8-connected and holes are 4-connected; a hole does not reach the image's border.

import { MASK, bounds, union } from "/static/paint.js";

export const MOST_LABEL = 254; // labels are bytes

const FOUR = [[1, 0], [-1, 0], [0, 1], [0, -1]];
const EIGHT = [...FOUR, [1, 1], [1, -1], [-1, 1], [-1, -1]];

// Visits every pixel connected to `seeds` that `wanted` says yes to, each once, and returns them.
function flood(raster, seeds, wanted, steps, seen) {
  const { width, height } = raster;
  const found = [];
  const visit = (x, y) => {
    const at = y * width + x;
    if (seen[at] || !wanted(at)) return;
    seen[at] = 1;
    found.push(at);
  };
  for (const at of seeds) visit(at % width, Math.floor(at / width));
  for (let k = 0; k < found.length; k++) {
    const [x, y] = [found[k] % width, Math.floor(found[k] / width)];
    for (const [dx, dy] of steps) {
      const [nx, ny] = [x + dx, y + dy];
      if (nx >= 0 && ny >= 0 && nx < width && ny < height) visit(nx, ny);
    }
  }
  return found;
}

function paintAll(raster, pixels, value) {
  let box = null;
  for (const at of pixels) {
    const [x, y] = [at % raster.width, Math.floor(at / raster.width)];
    raster.data[at] = value;
    box = union(box, { x0: x, y0: y, x1: x + 1, y1: y + 1 });
  }
  return box;
}

// A copy of the part around the mask with one empty pixel on each side, so that work on a small
// mask does not cost the whole image. Where the mask touches the image's border, so does the copy.
function cutOut(raster) {
  const box = bounds(raster);
  if (!box) return null;
  const x0 = Math.max(0, box.x0 - 1);
  const y0 = Math.max(0, box.y0 - 1);
  const width = Math.min(raster.width, box.x1 + 1) - x0;
  const height = Math.min(raster.height, box.y1 + 1) - y0;
  const data = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const start = (y0 + y) * raster.width + x0;
    data.set(raster.data.subarray(start, start + width), y * width);
  }
  return { x0, y0, width, height, data };
}

const place = (raster, part, at) => {
  const y = Math.floor(at / part.width);
  return (part.y0 + y) * raster.width + part.x0 + (at - y * part.width);
};

// Holes of the mask, each a list of pixels of the raster.
export function holes(raster) {
  const part = cutOut(raster);
  if (!part) return [];
  const seen = new Uint8Array(part.data.length);
  const background = (at) => part.data[at] !== MASK;
  flood(part, borderOf(part), background, FOUR, seen);
  const found = [];
  for (let at = 0; at < seen.length; at++) {
    if (seen[at] || !background(at)) continue;
    found.push(flood(part, [at], background, FOUR, seen).map((each) => place(raster, part, each)));
  }
  return found;
}

function borderOf({ width, height }) {
  const border = [];
  for (let x = 0; x < width; x++) border.push(x, (height - 1) * width + x);
  for (let y = 0; y < height; y++) border.push(y * width, y * width + width - 1);
  return border;
}

// A hole may hold a new mask of a split: that one keeps its pixels.
const free = (raster, pixels) => pixels.filter((at) => raster.data[at] === 0);

export function fillHole(raster, [x, y]) {
  const at = Math.floor(y) * raster.width + Math.floor(x);
  const hole = holes(raster).find((pixels) => pixels.includes(at));
  return hole ? paintAll(raster, free(raster, hole), MASK) : null;
}

export function fillHoles(raster) {
  return holes(raster).reduce((box, hole) => union(box, paintAll(raster, free(raster, hole), MASK)), null);
}

// Pieces of the mask, the largest first, each a list of pixels of the raster.
export function islands(raster) {
  const part = cutOut(raster);
  if (!part) return [];
  const seen = new Uint8Array(part.data.length);
  const inside = (at) => part.data[at] === MASK;
  const found = [];
  for (let at = 0; at < seen.length; at++) {
    if (seen[at] || !inside(at)) continue;
    found.push(flood(part, [at], inside, EIGHT, seen).map((each) => place(raster, part, each)));
  }
  return found.sort((a, b) => b.length - a.length);
}

export function deleteIsland(raster, [x, y]) {
  const at = Math.floor(y) * raster.width + Math.floor(x);
  const island = islands(raster).find((pixels) => pixels.includes(at));
  return island ? paintAll(raster, island, 0) : null;
}

export function keepLargest(raster) {
  const [, ...small] = islands(raster);
  return small.reduce((box, island) => union(box, paintAll(raster, island, 0)), null);
}

// Cuts the mask along a drawn line [[x, y], ...]. The largest part stays this mask, the others get
// the labels first, first + 1, ...: returns {box, labels}. No pixel is lost: those under the line
// go to the part that they touch. A line that runs between islands parts them by its sides. Returns
// null, and changes nothing, when there are more parts than labels.
export function split(raster, line, first) {
  const part = cutOut(raster);
  if (!part) return { box: null, labels: [] };
  const local = line.map(([x, y]) => [x - part.x0, y - part.y0]);
  const groups = cutBy(part, local);
  if (first + groups.length - 2 > MOST_LABEL) return null;
  groups.sort((a, b) => b.length - a.length);
  let box = null;
  const labels = groups.slice(1).map((pixels, k) => {
    box = union(box, paintAll(raster, pixels.map((at) => place(raster, part, at)), first + k));
    return first + k;
  });
  return { box, labels };
}

function cutBy(part, line) {
  const barrier = barrierOf(part, line);
  const inside = (at) => part.data[at] === MASK;
  const struck = barrier.filter(inside);
  if (!struck.length) return bySides(part, line);
  const owner = new Int32Array(part.data.length);
  const wall = new Uint8Array(part.data.length);
  for (const at of barrier) wall[at] = 1;
  const seen = new Uint8Array(part.data.length);
  const groups = [];
  for (let at = 0; at < seen.length; at++) {
    if (seen[at] || wall[at] || !inside(at)) continue;
    const pixels = flood(part, [at], (each) => inside(each) && !wall[each], FOUR, seen);
    groups.push(pixels);
    for (const each of pixels) owner[each] = groups.length;
  }
  giveBack(part, struck, owner, groups);
  return mergeUntouched(part, struck, owner, groups);
}

// Pixels under the line join the neighbouring part, layer by layer; those without one stay behind.
function giveBack(part, struck, owner, groups) {
  let left = struck;
  for (let before = -1; left.length && left.length !== before;) {
    before = left.length;
    const given = left.map((at) => neighbours(part, at).map((near) => owner[near]).find((own) => own > 0) || 0);
    left.forEach((at, k) => { if (given[k]) { owner[at] = given[k]; groups[given[k] - 1].push(at); } });
    left = left.filter((_, k) => !given[k]);
  }
  if (left.length) groups.push(left);
}

function neighbours(part, at) {
  const y = Math.floor(at / part.width);
  const x = at - y * part.width;
  return EIGHT.filter(([dx, dy]) => x + dx >= 0 && y + dy >= 0 && x + dx < part.width && y + dy < part.height)
    .map(([dx, dy]) => at + dy * part.width + dx);
}

// Islands that the line never met, and crumbs that only touch at a corner, stay with the largest part.
function mergeUntouched(part, struck, owner, groups) {
  const met = new Set();
  for (const at of struck) for (const near of [at, ...neighbours(part, at)]) met.add(owner[near]);
  const order = groups.map((pixels, k) => [pixels, met.has(k + 1)]);
  const cut = order.filter(([, touched]) => touched).map(([pixels]) => pixels);
  if (!cut.length) return groups;
  const rest = order.filter(([, touched]) => !touched).map(([pixels]) => pixels);
  cut.sort((a, b) => b.length - a.length);
  for (const pixels of rest) for (const at of pixels) cut[0].push(at);
  return cut;
}

function bySides(part, line) {
  const pieces = islands({ ...part, x0: 0, y0: 0 });
  const [[ax, ay]] = line;
  const [bx, by] = line[line.length - 1];
  const sides = [[], []];
  for (const pixels of pieces) {
    let turn = 0;
    for (const at of pixels) {
      const [x, y] = [(at % part.width) + 0.5, Math.floor(at / part.width) + 0.5];
      turn += (bx - ax) * (y - ay) - (by - ay) * (x - ax);
    }
    for (const at of pixels) sides[turn > 0 ? 1 : 0].push(at);
  }
  return sides.filter((pixels) => pixels.length);
}

// A wall of pixels under the line that 4-connected floods cannot pass.
function barrierOf(part, line) {
  const wall = new Set();
  const mark = (x, y) => {
    const [column, row] = [Math.floor(x), Math.floor(y)];
    if (column >= 0 && row >= 0 && column < part.width && row < part.height) wall.add(row * part.width + column);
  };
  line.slice(1).forEach(([bx, by], k) => {
    const [ax, ay] = line[k];
    const steps = Math.max(1, Math.ceil(4 * Math.max(Math.abs(bx - ax), Math.abs(by - ay))));
    for (let step = 0; step <= steps; step++) mark(ax + ((bx - ax) * step) / steps, ay + ((by - ay) * step) / steps);
  });
  return [...wall];
}
