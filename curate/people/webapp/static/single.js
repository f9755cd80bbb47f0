// One mask at a time: its picture with the outline, and in words what is said about it.

import { announce, byId, count, el, score, setText } from "/static/dom.js";
import { Minimap } from "/static/minimap.js";
import { LEVELS, LEVEL_WORDS, drawAt, viewAt } from "/static/stage_levels.js";
import { tilesOf } from "/static/tiles.js";
import { Viewer } from "/static/viewer.js";

const SHOWN_SCORES = 8;
const NOWHERE = { x: 0, y: 0, w: 1, h: 1 };

export class Single {
  constructor(proposals, every) {
    Object.assign(this, { proposals, every });
    this.viewer = new Viewer([byId("panel-mine"), byId("panel-twin")], () => this.placed());
    this.map = new Minimap((x, y) => this.moveTo(x, y));
    this.stage = byId("stage");
    this.entry = null;
    this.level = "window";
    this.reason = -1;
  }

  // Shows a card. Its picture is decoded already in nearly all cases; else a note says it comes.
  show(entry) {
    const same = this.entry === entry;
    this.entry = entry;
    if (!same) this.reason = -1;
    this.note(entry);
    if (entry.ready) this.draw();
    else this.viewer.show([], entry.window, () => entry.window);
    if (!same || entry.card.drawn || entry.card.suggested) this.tell(entry.card);
    this.stage.dataset.item = entry.card.item;
    this.stage.dataset.ready = String(entry.ready);
    if (!same) {
      announce(spoken(entry.card));
      this.shown(entry);
    }
  }

  note(entry) {
    const note = byId("stage-note");
    note.hidden = entry.image !== null;
    if (!note.hidden) setText(note, entry.error || "The picture is being fetched …");
  }

  clear() {
    this.entry = null;
    this.viewer.show([], NOWHERE, () => NOWHERE);
    delete this.stage.dataset.item;
    delete this.stage.dataset.ready;
  }

  draw() {
    const { entry } = this;
    const level = this.levelNow();
    setText(byId("zoom-words"), LEVEL_WORDS[level]);
    byId("tag-mine").hidden = entry.card.twin === null;
    const ready = entry.drawn.get(level);
    const { planes, box } = ready ?? { planes: entry.planes, box: entry.window };
    this.viewer.show(planes, box, (size) => viewAt(entry, level, this.viewer.chosen, size), this.tiles());
    this.drawEvery();
    // The coarser picture is shown at once, the right one when it is here.
    if (level !== "window" && !ready) this.sharpen(level);
  }

  // Without a picture there is no whole image to see.
  levelNow() {
    return this.level === "whole" && !this.entry.image ? "window" : this.level;
  }

  tiles() {
    const { card, image } = this.entry;
    return image && tilesOf(card);
  }

  async sharpen(level) {
    const { entry } = this;
    const found = await drawAt(entry, level);
    if (!found || this.entry !== entry || this.level !== level) return;
    this.viewer.swap(found.planes, found.box);
    this.drawEvery();
  }

  drawEvery() {
    this.every.draw(this.stage, this.viewer.planes[0], this.entry.card, this.entry.card.window);
  }

  zoom() {
    if (!this.entry || !this.entry.ready) return;
    const levels = this.entry.image ? LEVELS : LEVELS.slice(0, 2);
    this.level = levels[(levels.indexOf(this.level) + 1) % levels.length];
    this.viewer.chosen = null;
    this.draw();
    announce(LEVEL_WORDS[this.level]);
  }

  // Draws ahead what the chosen level needs of the next masks.
  async lookAhead(entries) {
    const { level } = this;
    if (level === "window") return;
    for (const entry of entries) if (entry.ready && this.level === level) await drawAt(entry, level);
  }

  // Moves the middle of the stage to a pixel of the image, beyond the window if need be.
  moveTo(x, y) {
    const { entry, viewer } = this;
    const [px, py] = [x - entry.card.window.x, y - entry.card.window.y];
    const { box } = viewer;
    const outside = px < box.x || py < box.y || px > box.x + box.w || py > box.y + box.h;
    if (outside && this.level !== "whole") {
      this.level = "whole";
      viewer.chosen = viewer.scale;
      this.draw();
    }
    viewer.centre(px, py);
  }

  placed() {
    const { entry, viewer } = this;
    if (!entry?.image || !viewer.planes.length) {
      this.map.hide();
      return;
    }
    const { x, y, w, h } = clip(viewer.seen(), viewer.box);
    this.map.show(entry.card, { x: x + entry.card.window.x, y: y + entry.card.window.y, w, h });
  }

  toggle(what) {
    const button = byId(`${what}-button`);
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    this.stage.classList.toggle(what === "mask" ? "bare" : "with-others", what === "mask" ? !on : on);
  }

  nextReason() {
    const items = [...byId("reasons").children];
    if (!items.length) return;
    this.reason = (this.reason + 1) % items.length;
    items.forEach((item, k) => item.classList.toggle("now", k === this.reason));
    items[this.reason].scrollIntoView({ block: "nearest" });
    announce(items[this.reason].textContent);
  }

  tell(card) {
    setText(byId("single-title"), card.category ?? "No category");
    setText(byId("single-file"), card.file_name);
    this.tellTwin(card);
    this.tellSuggested(card);
    byId("marked").hidden = !card.marks.point && !card.marks.declared;
    setText(byId("marked"), this.proposals.shown(card) || markedWords(card.marks));
    byId("why").hidden = !card.reasons.length && !card.unsettled;
    const open = card.unsettled ? [el("li", { class: "unsettled" }, card.unsettled)] : [];
    byId("reasons").replaceChildren(...open, ...card.reasons.map((reason) => el("li", {}, reason.words)));
    byId("telling").hidden = !card.scores.length;
    byId("scores").replaceChildren(...card.scores.slice(0, SHOWN_SCORES).flatMap(scoreRow));
    byId("facts").replaceChildren(...factsOf(card));
  }

  tellTwin({ twin, category, detected }) {
    byId("twin-box").hidden = twin === null;
    byId("single-detected").hidden = !detected;
    if (detected) {
      const sure = detected.confidence === null ? "" : ` (confidence ${score(detected.confidence)})`;
      const right = detected.accuracy === null ? "" : `, right for ${Math.round(100 * detected.accuracy)}% of masks on images it has not seen,`;
      setText(byId("single-detected"), `The ${detected.by}${right} says: ${detected.name}${sure}`);
    }
    if (twin === null) return;
    const other = twin.category === category ? "of the same category" : `category: ${twin.category ?? "none"}`;
    setText(byId("single-twin"), `${twin.words}; ${other}`);
    setText(byId("tag-twin"), `${twin.duplicate ? "Its twin" : "The other"}${twin.category ? `: ${twin.category}` : ""}`);
    setText(byId("tag-mine"), `This mask${category ? `: ${category}` : ""}`);
  }

  // What a suggested fix would change is filled on the picture.
  tellSuggested({ suggested }) {
    byId("suggested-box").hidden = !suggested;
    if (suggested) setText(byId("suggested-words"), `Suggested: ${suggested.words}`);
  }
}

// The part of a box that lies in another one: around the window there is nothing to see.
function clip(box, limit) {
  const [x, y] = [Math.max(box.x, limit.x), Math.max(box.y, limit.y)];
  return { x, y, w: Math.max(0, Math.min(box.x + box.w, limit.x + limit.w) - x), h: Math.max(0, Math.min(box.y + box.h, limit.y + limit.h) - y) };
}

function spoken(card) {
  const reasons = card.reasons.map((reason) => reason.words).join("; ");
  return [card.category ?? "no category", card.unsettled, reasons].filter(Boolean).join(". ");
}

function markedWords({ point, declared }) {
  const words = [point && "The circle is the point that it was prompted with.", declared && "The dashed box is the one that its source states."];
  return words.filter(Boolean).join(" ");
}

function scoreRow({ value, title, words, shown }) {
  const share = Math.max(0, Math.min(1, value));
  const bar = el("i");
  bar.style.width = `${100 * share}%`;
  return [
    el("dt", {}, el("b", {}, title), words && el("span", { class: "soft" }, words)),
    el("dd", {}, shown, el("span", { class: "meter", "aria-hidden": "true" }, bar)),
  ];
}

function factsOf(card) {
  const [, , w, h] = card.bbox;
  const rows = [
    ["Mask", card.area_px ? `${count(card.area_px)} px, ${count(w)} × ${count(h)}` : "no pixel"],
    ["Image", card.width && card.height ? `${count(card.width)} × ${count(card.height)} px` : "size not known"],
    ["Place in the queue", count(card.place)],
    ["Quality", card.quality === null ? null : score(card.quality)],
    ["Mask id", card.proposed ? null : card.mask_id],
  ];
  return rows.filter(([, value]) => value !== null)
    .flatMap(([title, value]) => [el("dt", {}, title), el("dd", {}, value)]);
}
