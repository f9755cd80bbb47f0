// The masks of an image, asked for once: the next masks are often of the same one.

import * as api from "/static/api.js";

const KEPT = 8;
const known = new Map(); // image id -> promise

export function masksOf(imageId) {
  if (!known.has(imageId)) {
    const asked = api.image(imageId);
    known.set(imageId, asked);
    asked.catch(() => known.delete(imageId));
    if (known.size > KEPT) known.delete(known.keys().next().value);
  }
  return known.get(imageId);
}
