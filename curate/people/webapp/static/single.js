// One mask at a time: its picture with the outline, and in words what is said about it.

import * as api from "/static/api.js";
import { changedBy, copyOf, marksOf, outlines, planeOf } from "/static/cards.js";
import { announce, byId, count, el, setText } from "/static/dom.js";
import { Viewer, around } from "/static/viewer.js";

const LEVELS = ["window", "near", "whole"];
const LEVEL_WORDS = { window: "Window", near: "Near", whole: "Whole image" };
const SHOWN_SCORES = 8;

export class Single {
  constructor(proposals) {
    this.proposals = proposals;
    this.viewer = new Viewer([byId("panel-mine"), byId("panel-twin")]);
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
    if (this.level === "whole" && !same) this.level = "window"; // the whole image is asked for, each time
    this.note(entry);
    if (entry.ready) this.draw();
    else this.viewer.show([], entry.window, entry.window);
    if (!same || entry.card.drawn || entry.card.suggested) this.tell(entry.card);
    this.stage.dataset.item = entry.card.item;
    this.stage.dataset.ready = String(entry.ready);
    if (!same) announce(spoken(entry.card));
  }

  note(entry) {
    const note = byId("stage-note");
    note.hidden = entry.image !== null;
    if (!note.hidden) setText(note, entry.error || "The picture is being fetched …");
  }

  clear() {
    this.entry = null;
    this.viewer.show([], { x: 0, y: 0, w: 1, h: 1 }, { x: 0, y: 0, w: 1, h: 1 });
    delete this.stage.dataset.item;
    delete this.stage.dataset.ready;
  }

  draw() {
    const { entry } = this;
    setText(byId("zoom-words"), LEVEL_WORDS[this.level]);
    const twin = entry.card.twin !== null;
    byId("tag-mine").hidden = !twin;
    this.viewer.show(entry.planes, entry.window, this.level === "near" ? this.nearView() : entry.window);
    if (this.level !== "window") this.sharpen(this.level);
  }

  nearView() {
    const { card, window } = this.entry;
    const [x, y, w, h] = card.bbox;
    return around({ x: x - card.window.x, y: y - card.window.y, w, h }, 0.12, window);
  }

  zoom() {
    if (!this.entry || !this.entry.ready) return;
    const levels = this.entry.image ? LEVELS : LEVELS.slice(0, 2);
    this.level = levels[(levels.indexOf(this.level) + 1) % levels.length];
    this.draw();
    announce(LEVEL_WORDS[this.level]);
  }

  // The coarser picture is shown at once, the right one when it is here.
  async sharpen(level) {
    const { entry } = this;
    const current = () => this.entry === entry && this.level === level;
    const image = entry.image && await entry.picture(level);
    if (!image || !current()) return;
    const { card } = entry;
    const whole = { x: -card.window.x, y: -card.window.y, w: card.width, h: card.height };
    const box = level === "whole" ? whole : entry.window;
    const others = level === "whole" ? await othersOf(card) : { path: card.others, kind: "others" };
    const mine = [{ path: card.path, kind: "mine" }, ...(card.twin ? [{ path: card.twin.path, kind: "twin" }] : [])];
    const planes = mine.map((layer) => planeOf(copyOf(image), outlines(box, [others, layer])));
    planes[0].querySelector("svg").append(...outlines(box, [changedBy(card)]).children, ...marksOf(card.marks, card.window));
    await Promise.all(planes.map((plane) => plane.querySelector("img").decode().catch(() => {})));
    if (current()) this.viewer.show(planes, box, level === "whole" ? whole : this.viewer.view);
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
      const sure = detected.confidence === null ? "" : ` (confidence ${detected.confidence.toFixed(2)})`;
      setText(byId("single-detected"), `The detector says: ${detected.name}${sure}`);
    }
    if (twin === null) return;
    const other = twin.category === category ? "of the same category" : `category: ${twin.category ?? "none"}`;
    setText(byId("single-twin"), `${twin.words}; ${other}`);
    setText(byId("tag-twin"), `Its twin${twin.category ? `: ${twin.category}` : ""}`);
    setText(byId("tag-mine"), `This mask${category ? `: ${category}` : ""}`);
  }

  // What a suggested fix would change is filled on the picture.
  tellSuggested({ suggested }) {
    byId("suggested-box").hidden = !suggested;
    if (suggested) setText(byId("suggested-words"), `Suggested: ${suggested.words}`);
  }
}

// All other masks of the image; the card knows those in its window only.
async function othersOf(card) {
  const found = await api.image(card.image_id).catch(() => ({ masks: [] }));
  const rest = found.masks.filter((mask) => mask.mask_id !== card.mask_id && mask.mask_id !== card.twin?.mask_id);
  const transform = `translate(${-card.window.x} ${-card.window.y})`;
  return { path: rest.map((mask) => mask.path).join(""), kind: "others", transform };
}

function spoken(card) {
  const reasons = card.reasons.map((reason) => reason.words).join("; ");
  return [card.category ?? "no category", card.unsettled, reasons].filter(Boolean).join(". ");
}

function markedWords({ point, declared }) {
  const words = [point && "The circle is the point that it was prompted with.", declared && "The dashed box is the one that its source states."];
  return words.filter(Boolean).join(" ");
}

function scoreRow(score) {
  const share = Math.max(0, Math.min(1, score.value));
  const bar = el("i");
  bar.style.width = `${100 * share}%`;
  return [
    el("dt", {}, el("b", {}, score.title), score.words && el("span", { class: "soft" }, score.words)),
    el("dd", {}, score.shown, el("span", { class: "meter", "aria-hidden": "true" }, bar)),
  ];
}

function factsOf(card) {
  const [, , w, h] = card.bbox;
  const rows = [
    ["Mask", `${count(card.area_px)} px, ${count(w)} × ${count(h)}`],
    ["Image", `${count(card.width)} × ${count(card.height)} px`],
    ["Place in the queue", count(card.place)],
    ["Quality", card.quality === null ? null : card.quality.toFixed(2)],
    ["Mask id", card.proposed ? null : card.mask_id],
  ];
  return rows.filter(([, value]) => value !== null)
    .flatMap(([title, value]) => [el("dt", {}, title), el("dd", {}, value)]);
}
