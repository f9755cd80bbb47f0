// COCO's compressed counts <-> pixels. Counts run down the columns; pixels here lie row by row.
// No bit operators on values: runs of a large image pass 2^31.

const BASE = 48;

// Returns the run lengths: background first, then mask, in turn.
export function parseCounts(text) {
  const runs = [];
  let at = 0;
  while (at < text.length) {
    let value = 0;
    let scale = 1;
    let code = 32;
    while (code & 32) {
      code = text.charCodeAt(at++) - BASE;
      if (!(code >= 0 && code < 64)) throw new RangeError("These are not COCO counts.");
      value += (code & 31) * scale;
      scale *= 32;
    }
    if (code & 16) value -= scale; // the last group carries the sign
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

export function writeCounts(runs) {
  const codes = [];
  for (let k = 0; k < runs.length; k++) {
    let value = k > 2 ? runs[k] - runs[k - 2] : runs[k];
    let more = true;
    while (more) {
      const low = ((value % 32) + 32) % 32;
      value = Math.floor(value / 32);
      more = low & 16 ? value !== -1 : value !== 0;
      codes.push(String.fromCharCode(low + (more ? 32 : 0) + BASE));
    }
  }
  return codes.join("");
}

export function decode(text, width, height) {
  const data = new Uint8Array(width * height);
  let position = 0;
  parseCounts(text).forEach((run, k) => {
    const end = position + run;
    if (run < 0 || end > data.length) throw new RangeError("The counts do not fit the image.");
    if (k % 2) fillColumns(data, position, end, width, height);
    position = end;
  });
  return data;
}

function fillColumns(data, start, end, width, height) {
  let x = Math.floor(start / height);
  let y = start - x * height;
  for (let left = end - start; left > 0; left--) {
    data[y * width + x] = 1;
    if (++y === height) {
      y = 0;
      x++;
    }
  }
}

// The counts of the pixels that hold `label`; empty columns are skipped quickly by `columnsIn`.
export function encode(data, width, height, label = 1) {
  const used = columnsIn(data, width, label);
  const runs = [];
  let run = 0;
  let inside = false;
  for (let x = 0; x < width; x++) {
    if (!used[x] && !inside) {
      run += height;
      continue;
    }
    for (let y = 0, at = x; y < height; y++, at += width) {
      if ((data[at] === label) !== inside) {
        runs.push(run);
        run = 0;
        inside = !inside;
      }
      run++;
    }
  }
  runs.push(run);
  return writeCounts(runs);
}

function columnsIn(data, width, label) {
  const used = new Uint8Array(width);
  for (let start = 0; start < data.length; start += width) {
    for (let x = 0; x < width; x++) if (data[start + x] === label) used[x] = 1;
  }
  return used;
}

// The mask as an SVG path of upright bars, one for each run in a column.
export function barsOf(text, height) {
  const bars = [];
  let position = 0;
  parseCounts(text).forEach((run, k) => {
    for (let left = k % 2 ? run : 0, at = position; left > 0;) {
      const x = Math.floor(at / height);
      const y = at - x * height;
      const long = Math.min(left, height - y);
      bars.push(`M${x} ${y}h1v${long}h-1z`);
      at += long;
      left -= long;
    }
    position += run;
  });
  return bars.join("");
}
