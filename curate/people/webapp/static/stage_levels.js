// The three levels of zoom: the card's window, the mask alone, the whole image. What is drawn for a
// level is kept with its card, so that the level may stay from mask to mask.

import { changedBy, copyOf, marksOf, outlines, planeOf } from "/static/cards.js";
import { masksOf } from "/static/image_masks.js";
import { around } from "/static/viewer.js";

export const LEVELS = ["window", "near", "whole"];
export const LEVEL_WORDS = { window: "Window", near: "Near", whole: "Whole image" };
const FILLS = 0.92; // of the stage, by a mask that would not fit at the chosen scale

// The mask's box, from the corner of its window.
export function maskBox({ card }) {
  const [x, y, w, h] = card.bbox;
  return { x: x - card.window.x, y: y - card.window.y, w, h };
}

export const wholeBox = ({ card }) => ({ x: -card.window.x, y: -card.window.y, w: card.width, h: card.height });

// What is seen of a card: at the level, or at the scale that somebody chose, about the mask. A mask
// that would not fit is shown smaller: what is not seen cannot be judged.
export function viewAt(entry, level, scale, size) {
  if (scale) {
    const mask = maskBox(entry);
    const fits = FILLS * Math.min(size.w / Math.max(1, mask.w), size.h / Math.max(1, mask.h));
    const own = Math.min(scale, fits);
    const [w, h] = [size.w / own, size.h / own];
    return { x: mask.x + (mask.w - w) / 2, y: mask.y + (mask.h - h) / 2, w, h };
  }
  if (level === "near") return around(maskBox(entry), 0.12, entry.window);
  return level === "whole" ? wholeBox(entry) : entry.window;
}

// Draws a level other than the window; null where its picture cannot be had.
export async function drawAt(entry, level) {
  if (!entry.drawn.has(level)) {
    const image = entry.image && await entry.picture(level);
    if (!image || entry.dropped) return null;
    const { card } = entry;
    const box = level === "whole" ? wholeBox(entry) : entry.window;
    const others = level === "whole" ? await othersOf(card) : { path: card.others, kind: "others" };
    const mine = [{ path: card.path, kind: "mine" }, ...(card.twin ? [{ path: card.twin.path, kind: "twin" }] : [])];
    const planes = mine.map((layer) => planeOf(copyOf(image), outlines(box, [others, layer])));
    planes[0].querySelector("svg").append(...outlines(box, changedBy(card)).children, ...marksOf(card.marks, card.window));
    await Promise.all(planes.map((plane) => plane.querySelector("img").decode().catch(() => {})));
    if (entry.image) entry.drawn.set(level, { planes, box });
  }
  return entry.drawn.get(level) ?? null;
}

// All other masks of the image; the card knows those in its window only.
async function othersOf(card) {
  const found = await masksOf(card.image_id).catch(() => ({ masks: [] }));
  const rest = found.masks.filter((mask) => mask.mask_id !== card.mask_id && mask.mask_id !== card.twin?.mask_id);
  const transform = `translate(${-card.window.x} ${-card.window.y})`;
  return { path: rest.map((mask) => mask.path).join(""), kind: "others", transform };
}
