// What the tools do to pixels: pure functions on a raster {width, height, data}, where data is one
// byte a pixel, row by row. A pixel is touched when its centre is. Each returns the rectangle
// {x0, y0, x1, y1} (ends excluded) that it may have changed, or null when it changed nothing.

export const MASK = 1; // other labels are the new masks that a split has made

export function union(a, b) {
  if (!a || !b) return a || b;
  return {
    x0: Math.min(a.x0, b.x0), y0: Math.min(a.y0, b.y0), x1: Math.max(a.x1, b.x1), y1: Math.max(a.y1, b.y1),
  };
}

// The eraser takes away this mask only; the brush paints over whatever is there.
function put(data, at, value) {
  if (value === 0 && data[at] !== MASK) return false;
  if (data[at] === value) return false;
  data[at] = value;
  return true;
}

function clip(raster, x0, y0, x1, y1) {
  return {
    x0: Math.max(0, Math.floor(x0)), y0: Math.max(0, Math.floor(y0)),
    x1: Math.min(raster.width, Math.ceil(x1)), y1: Math.min(raster.height, Math.ceil(y1)),
  };
}

// A round brush drawn from one point to another: every pixel whose centre is within `radius`.
export function stroke(raster, [ax, ay], [bx, by], radius, value) {
  const box = clip(raster, Math.min(ax, bx) - radius, Math.min(ay, by) - radius,
    Math.max(ax, bx) + radius + 1, Math.max(ay, by) + radius + 1);
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  let changed = false;
  for (let y = box.y0; y < box.y1; y++) {
    for (let x = box.x0; x < box.x1; x++) {
      const [px, py] = [x + 0.5 - ax, y + 0.5 - ay];
      const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      const [ex, ey] = [px - along * dx, py - along * dy];
      if (ex * ex + ey * ey <= radius * radius) {
        changed = put(raster.data, y * raster.width + x, value) || changed;
      }
    }
  }
  return changed ? box : null;
}

// The pixel under the pointer, whatever the radius: a brush of size 1 paints exactly this one.
export function dot(raster, [x, y], value) {
  const [column, row] = [Math.floor(x), Math.floor(y)];
  if (column < 0 || row < 0 || column >= raster.width || row >= raster.height) return null;
  const changed = put(raster.data, row * raster.width + column, value);
  return changed ? { x0: column, y0: row, x1: column + 1, y1: row + 1 } : null;
}

// Even-odd filling of a polygon, given as [[x, y], ...].
export function polygon(raster, points, value) {
  if (points.length < 3) return null;
  const ys = points.map((point) => point[1]);
  const xs = points.map((point) => point[0]);
  const box = clip(raster, Math.min(...xs), Math.min(...ys), Math.max(...xs) + 1, Math.max(...ys) + 1);
  let changed = false;
  for (let y = box.y0; y < box.y1; y++) {
    const cuts = crossings(points, y + 0.5);
    for (let k = 0; k + 1 < cuts.length; k += 2) {
      const from = Math.max(box.x0, Math.ceil(cuts[k] - 0.5));
      const to = Math.min(box.x1, Math.ceil(cuts[k + 1] - 0.5));
      for (let x = from; x < to; x++) changed = put(raster.data, y * raster.width + x, value) || changed;
    }
  }
  return changed ? box : null;
}

function crossings(points, y) {
  const cuts = [];
  points.forEach(([ax, ay], k) => {
    const [bx, by] = points[(k + 1) % points.length];
    if ((ay <= y) !== (by <= y)) cuts.push(ax + ((y - ay) / (by - ay)) * (bx - ax));
  });
  return cuts.sort((a, b) => a - b);
}

// The pixels by fours, for what is the same nearly everywhere; up to three are left over.
const byFours = (data) => new Uint32Array(data.buffer, data.byteOffset, data.length >> 2);

// Puts a whole mask in the place of this one; the new masks of a split stay.
export function replace(raster, pixels) {
  let box = null;
  const { data, width, height } = raster;
  const [old, now] = [byFours(data), byFours(pixels)];
  for (let y = 0, at = 0; y < height; y++) {
    const [start, end] = [at, at + width];
    let [x0, x1] = [width, 0];
    while (at < end) {
      if (!(at & 3) && at + 4 <= end && old[at >> 2] === now[at >> 2]) {
        at += 4;
        continue;
      }
      if (data[at] !== pixels[at] && data[at] <= MASK) {
        data[at] = pixels[at];
        x0 = Math.min(x0, at - start);
        x1 = at - start + 1;
      }
      at++;
    }
    if (x1) box = union(box, { x0, y0: y, x1, y1: y + 1 });
  }
  return box;
}

export function area(raster, label = MASK) {
  return histogram(raster)[label];
}

// How many pixels have each label. Most stand in fours of one label, none or this mask's.
export function histogram({ data }) {
  const counts = new Float64Array(256);
  const fours = byFours(data);
  let [none, mask] = [0, 0];
  for (let k = 0; k < fours.length; k++) {
    if (fours[k] === 0) none += 4;
    else if (fours[k] === 0x01010101) mask += 4;
    else for (let at = 4 * k; at < 4 * k + 4; at++) counts[data[at]]++;
  }
  counts[0] += none;
  counts[MASK] += mask;
  for (let at = 4 * fours.length; at < data.length; at++) counts[data[at]]++;
  return counts;
}

// Where the mask lies, or null when it is empty.
export function bounds(raster, label = MASK) {
  const { data, width, height } = raster;
  let [x0, y0, x1, y1] = [width, height, 0, 0];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (data[at] !== label) continue;
      if (x < x0) x0 = x;
      if (x >= x1) x1 = x + 1;
      if (y < y0) y0 = y;
      y1 = y + 1;
    }
  }
  return x1 ? { x0, y0, x1, y1 } : null;
}
