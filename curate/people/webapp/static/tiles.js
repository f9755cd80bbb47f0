// Tiles of a large picture, laid over its coarse one where that is shown larger than it is.

import { withLevels } from "/static/picture_settings.js";

const TILE_PX = 512;
const MOST_SEEN = 40; // more are not loaded for one view: the next coarser ones do
const MOST_KEPT = 80;
const FINER = 1.1; // by this much the coarse picture is too coarse
const WAIT_MS = 70; // a view that is passed is not loaded

const sources = new Map(); // image id -> address of its tiles: the browser keeps them by it

// Where the tiles of a card's image are; null where there is no picture.
export function tilesOf({ image_id, tiles_of, picture = tiles_of, width, height, window: corner = { x: 0, y: 0 } }) {
  if (!picture || !picture.startsWith("/api/picture/")) return null;
  if (!sources.has(image_id)) sources.set(image_id, picture.replace("/picture/", "/tile/").replace(/&?view=\w+/, ""));
  return { address: sources.get(image_id), width, height, corner };
}

// The tiles that are seen: {key, url, level, box}. `seen` in pixels of the image, `scale` screen
// pixels for one of them, `coarse` pixels of the coarse picture for one.
export function tilesSeen({ address, width, height }, seen, scale, coarse) {
  const sharp = scale * devicePixelRatio;
  if (sharp < FINER * coarse || coarse >= 1) return [];
  let level = Math.max(0, Math.floor(Math.log2(1 / sharp)));
  for (;; level++) {
    const side = TILE_PX * 2 ** level;
    if (1 / 2 ** level <= coarse) return [];
    const [x0, y0] = [Math.max(0, Math.floor(seen.x / side)), Math.max(0, Math.floor(seen.y / side))];
    const x1 = Math.min(Math.ceil(width / side), Math.ceil((seen.x + seen.w) / side));
    const y1 = Math.min(Math.ceil(height / side), Math.ceil((seen.y + seen.h) / side));
    if (Math.max(0, x1 - x0) * Math.max(0, y1 - y0) > MOST_SEEN) continue;
    const found = [];
    for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) found.push(tile(address, width, height, level, side, x, y));
    return found;
  }
}

function tile(address, width, height, level, side, x, y) {
  const url = withLevels(`${address}${address.includes("?") ? "&" : "?"}level=${level}&x=${x}&y=${y}`);
  const box = { x: x * side, y: y * side, w: Math.min(side, width - x * side), h: Math.min(side, height - y * side) };
  return { key: url, url, level, box };
}

// Loads the tiles that were asked for last; `loaded` is called with each once it can be drawn.
export class TileLoader {
  constructor(loaded) {
    Object.assign(this, { loaded, kept: new Map(), wanted: [] });
  }

  ask(tiles) {
    this.wanted = tiles;
    clearTimeout(this.later);
    if (tiles.some(({ key }) => !this.kept.has(key))) this.later = setTimeout(() => this.load(), WAIT_MS);
  }

  load() {
    for (const each of this.wanted) if (!this.kept.has(each.key)) this.fetch(each);
    const wanted = new Set(this.wanted.map(({ key }) => key));
    for (const [key, { image }] of this.kept) {
      if (this.kept.size <= MOST_KEPT) break;
      if (wanted.has(key)) continue;
      this.kept.delete(key);
      image.remove();
    }
  }

  async fetch(each) {
    const image = new Image();
    const made = { ...each, image, ready: false };
    this.kept.set(each.key, made);
    Object.assign(image, { alt: "", draggable: false, className: "tile", src: each.url });
    try {
      await image.decode();
    } catch {
      this.kept.delete(each.key); // the coarse picture stays
      return;
    }
    made.ready = true;
    if (this.kept.get(each.key) === made) this.loaded(made);
  }

  // Those that can be drawn, the coarsest first.
  ready() {
    return [...this.kept.values()].filter((each) => each.ready).sort((a, b) => b.level - a.level);
  }

  clear() {
    clearTimeout(this.later);
    for (const { image } of this.kept.values()) image.remove();
    this.kept.clear();
    this.wanted = [];
  }
}
