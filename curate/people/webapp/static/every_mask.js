// All masks of an image at once: each category has its colour, a label says what is under the pointer.

import { byId, count, el, score, setText, svg } from "/static/dom.js";
import { masksOf } from "/static/image_masks.js";

const GOLDEN_DEGREES = 137.508; // between the hues of two categories: neighbours stay apart
const FIRST_HUE = 318; // neither that of the mask on the stage nor of its twin
const LIGHTNESS = [66, 78, 56];
const LISTED = 14; // categories in the legend

export class EveryMask {
  constructor(about) {
    this.about = about;
    this.on = false;
    this.legend = byId("legend");
    this.label = byId("mask-label");
    this.turn = 0;
    for (const stage of document.querySelectorAll("#stage, #looked-stage")) {
      stage.addEventListener("pointermove", (event) => this.hover(event, stage));
      stage.addEventListener("pointerleave", () => { this.label.hidden = true; });
    }
  }

  toggle() {
    this.on = !this.on;
    for (const button of document.querySelectorAll("[data-act=every]")) button.setAttribute("aria-pressed", String(this.on));
    return this.on;
  }

  // The same for a category in all images of the audit, whatever else an image holds.
  colour(category) {
    const at = category === null ? -1 : this.about.categories.indexOf(category);
    if (at < 0) return "hsl(0 0% 78%)";
    return `hsl(${((at * GOLDEN_DEGREES + FIRST_HUE) % 360).toFixed(1)} 85% ${LIGHTNESS[at % LIGHTNESS.length]}%)`;
  }

  // Draws them on a plane whose drawing begins at `corner` of the image.
  async draw(stage, plane, { image_id, mask_id, gone = new Set() }, corner) {
    const turn = ++this.turn;
    stage.classList.toggle("every-on", this.on);
    this.label.hidden = true;
    if (!this.on || !plane) {
      this.legend.hidden = true;
      plane?.querySelector(".every")?.remove();
      return;
    }
    const found = await masksOf(image_id).catch(() => null);
    if (!found || turn !== this.turn || !this.on) return;
    const shown = found.masks.filter((mask) => mask.path && !gone.has(mask.mask_id));
    plane.querySelector(".every")?.remove();
    const group = svg("g", { class: "every", transform: `translate(${-corner.x} ${-corner.y})` }, ...shown.map((mask) => {
      const path = svg("path", { d: mask.path, "data-label": labelOf(mask), "data-mask": mask.mask_id, class: mask.mask_id === mask_id ? "own" : null });
      path.style.fill = path.style.stroke = this.colour(mask.category);
      return path;
    }));
    plane.querySelector("svg").prepend(group);
    this.list(stage, shown);
  }

  list(stage, masks) {
    const counts = new Map();
    for (const { category } of masks) counts.set(category, (counts.get(category) ?? 0) + 1);
    const sorted = [...counts].sort((a, b) => b[1] - a[1]);
    const rows = sorted.slice(0, LISTED).map(([category, masks_]) => {
      const swatch = el("i", { "aria-hidden": "true" });
      swatch.style.background = this.colour(category);
      return el("li", {}, swatch, el("span", { class: "name" }, category ?? "no category"), ` ${count(masks_)}`);
    });
    if (sorted.length > LISTED) rows.push(el("li", {}, `and ${sorted.length - LISTED} more categories`));
    this.legend.replaceChildren(...rows);
    this.legend.hidden = rows.length === 0;
    stage.append(this.legend, this.label);
  }

  hover(event, stage) {
    const path = this.on && event.target.closest?.(".every path");
    this.label.hidden = !path;
    if (!path) return;
    setText(this.label, path.dataset.label);
    const box = stage.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    this.label.style.left = `${Math.min(x + 14, box.width - 12 - this.label.offsetWidth)}px`;
    this.label.style.top = `${y > 48 ? y - 38 : y + 20}px`;
  }
}

function labelOf({ category, mask_id, quality }) {
  const parts = [category ?? "no category", `mask ${mask_id}`];
  if (Number.isFinite(quality)) parts.push(`quality ${score(quality)}`);
  return parts.join(" · ");
}
