// Fix a mask in place, or draw a missing one, to the pixel of the image.

import * as api from "/static/api.js";
import { Canvas } from "/static/canvas.js";
import { Categories } from "/static/categories.js";
import { ask } from "/static/choice.js";
import { announce, byId, el, count, setText, toast } from "/static/dom.js";
import { MASK, area, bounds, histogram, replace } from "/static/paint.js";
import { withLevels } from "/static/picture_settings.js";
import { fillHoles, keepLargest } from "/static/regions.js";
import { decode, encode } from "/static/rle.js";
import { Strokes } from "/static/strokes.js";
import { tilesOf } from "/static/tiles.js";
import { TOOLS, Tools } from "/static/tools.js";

const NOTHING = { action: null };
const MOST_FIRST = 60; // size of a brush that nobody has chosen
const CHANGES = ["undo", "redo", "fillHoles", "keepLargest", "save"]; // of a mask that is here
const SIZES = 1.25; // what a press of [ or ] does

export class Editor {
  constructor(about) {
    this.about = about;
    this.points = [];
    this.canvas = new Canvas(byId("canvas"));
    this.tools = new Tools(this, this.canvas);
    this.drawTools();
    byId("size").addEventListener("input", (event) => this.resize(Number(event.target.value)));
    byId("minus").addEventListener("change", (event) => { this.tools.minus = event.target.checked; });
    this.categories = new Categories(about);
  }

  // The segmenter is asked about masks, and an image without any has none to name.
  get clicks() {
    return this.about.segmenter && Boolean(this.image?.picture_of);
  }

  drawTools() {
    const tools = TOOLS.filter((tool) => tool.id !== "click" || this.about.segmenter);
    byId("tools").append(...tools.map((tool) => el("button", {
      type: "button", role: "radio", "aria-checked": "false", "data-act": `tool:${tool.id}`, "data-tool": tool.id,
    }, `${tool.words} `, el("kbd", {}, tool.key))));
  }

  // Resolves with what is to be done: {action: null | accept | reject | fix | missing, ...}.
  async open({ mode, image, card, added = "" }) {
    Object.assign(this, { mode, image, card, added, points: [], prompt: null, asked: 0, loading: mode === "fix" });
    document.body.dataset.view = "editor";
    for (const view of document.querySelectorAll(".view")) view.hidden = view.id !== "view-editor";
    this.words();
    this.blank(image.width, image.height);
    const ended = new Promise((resolve) => { this.end = resolve; });
    this.choose(mode === "missing" && this.clicks ? "click" : "brush");
    byId("canvas").focus({ preventScroll: true });
    await (mode === "fix" ? this.loadMask() : this.showAll());
    this.loadPictures();
    this.loadOthers();
    return ended.finally(() => this.leave());
  }

  words() {
    const missing = this.mode === "missing";
    const title = this.card?.proposed ? "Edit the proposed mask" : "Fix the mask";
    setText(byId("editor-title"), missing ? "Add a missing mask" : title);
    setText(byId("editor-file"), missing ? this.image.file_name : `${this.card.category ?? "no category"} · ${this.image.file_name}`);
    setText(byId("save-words"), missing || this.card.proposed ? "Add the mask" : "Save the fix");
    if (missing) this.categories.fillForNew();
    else this.categories.fill(this.card.category);
    byId("category-label").hidden = this.categories.none;
    setText(byId("editor-words"), missing ? "" : "The mask is loading …");
  }

  blank(width, height) {
    this.raster = { width, height, data: new Uint8Array(width * height) };
    this.begun = this.known = null;
    this.strokes = new Strokes(this.raster);
    this.canvas.reset(this.raster);
    this.tools.reset();
    this.mark("editor-mask", true);
    this.mark("editor-others", this.mode === "missing");
    this.canvas.showOthers = this.mode === "missing";
  }

  async loadMask() {
    const { card } = this;
    const waited = () => this.loading && this.card === card; // else the editor was left meanwhile
    try {
      const { counts, width, height } = await api.mask(card.mask_id);
      if (!waited()) return;
      this.blank(width, height);
      this.raster.data.set(decode(card.drawn ?? counts, width, height));
      this.begun = this.raster.data.slice();
      this.loading = false;
      this.fitBrush(bounds(this.raster));
      this.showNear();
      this.know(card.drawn ?? counts, this.tell());
    } catch (error) {
      if (!waited()) return;
      toast(`The mask cannot be edited now: ${error.message}`, "wrong");
      this.end(NOTHING);
    }
  }

  showNear() {
    const box = bounds(this.raster);
    if (box) this.canvas.fit(box, 0.35);
    else this.showAll();
  }

  showAll() {
    this.canvas.fit({ x0: 0, y0: 0, x1: this.raster.width, y1: this.raster.height }, 0.02);
  }

  // First the whole image, then the window sharp on top of it.
  async loadPictures() {
    if (!this.about.crops) return;
    this.canvas.pictures = [];
    this.canvas.loader.clear();
    this.canvas.tiles = tilesOf(this.image);
    const { raster, image } = this;
    const views = [["whole", { x: 0, y: 0, w: raster.width, h: raster.height }]];
    if (this.card) views.push(["near", this.card.window]);
    for (const [view, box] of views) {
      const picture = new Image();
      picture.src = withLevels(image.picture || api.pictureUrl(image.picture_of, view));
      await picture.decode().catch(() => {});
      if (this.raster !== raster) return;
      if (picture.naturalWidth) this.canvas.pictures.push({ image: picture, box });
      this.canvas.draw();
    }
  }

  async loadOthers() {
    const { raster, card } = this;
    const found = await api.image(this.image.image_id).catch(() => null);
    if (!found || this.raster !== raster) return;
    const others = new Path2D(this.added);
    for (const mask of found.masks) {
      if (!card || mask.mask_id !== card.mask_id) others.addPath(new Path2D(mask.path || ""));
    }
    this.canvas.others = others;
    this.canvas.draw();
  }

  act(name) {
    if (this.loading && CHANGES.includes(name)) return;
    if (name.startsWith("tool:")) this.choose(name.slice(5));
    else if (name === "undo" || name === "redo") this.turn(name);
    else if (name === "fillHoles") this.step(fillHoles, "There is no hole.");
    else if (name === "keepLargest") this.step(keepLargest, "There is one piece only.");
    else if (name === "larger" || name === "smaller") this.canvas.zoom(name === "larger" ? 1.4 : 1 / 1.4);
    else if (name === "zoom") this.turnZoom();
    else if (name === "mask") this.canvas.showMask = this.mark("editor-mask", !this.canvas.showMask);
    else if (name === "others") this.canvas.showOthers = this.mark("editor-others", !this.canvas.showOthers);
    else if (name === "thicker") this.resize(Math.ceil(this.tools.size * SIZES));
    else if (name === "thinner") this.resize(Math.floor(this.tools.size / SIZES));
    else if (name === "leave") this.cancelAll();
    else if (name === "save" && !this.tools.close()) this.save();
    this.canvas.draw();
  }

  mark(id, on) {
    byId(id).setAttribute("aria-pressed", String(on));
    return on;
  }

  choose(id) {
    const tool = TOOLS.find((each) => each.id === id);
    if (id === "click" && !this.clicks) return;
    for (const node of byId("tools").children) {
      node.setAttribute("aria-checked", String(node.dataset.tool === id));
      node.hidden = node.dataset.tool === "click" && !this.clicks;
    }
    byId("size-label").hidden = byId("size-keys").hidden = id !== "brush" && id !== "eraser";
    this.resize(this.tools.size);
    byId("minus-label").hidden = id !== "polygon" && id !== "click";
    byId("minus").checked = this.tools.minus = false;
    this.points = [];
    this.tools.choose(id);
    byId("canvas").dataset.tool = id;
    setText(byId("editor-hint"), tool.hint);
    announce(`${tool.words}. ${tool.hint}`);
  }

  resize(size) {
    this.tools.size = Math.max(1, Math.min(200, size));
    byId("size").value = String(this.tools.size);
    setText(byId("size-words"), `${this.tools.size} px`);
    this.tools.sketch();
  }

  // The brush begins at a sixth of the mask's size; a missing mask is drawn at the size of the last.
  fitBrush(box) {
    if (box) this.resize(Math.round(Math.min(MOST_FIRST, Math.max(1, Math.min(box.x1 - box.x0, box.y1 - box.y0) / 6))));
  }

  turnZoom() {
    this.near = !this.near;
    if (this.near) this.showAll();
    else this.showNear();
  }

  begin() {
    this.strokes.begin();
  }

  commit(box) {
    this.points = [];
    this.strokes.commit(box);
    this.tell();
    this.canvas.draw();
  }

  cancel() {
    this.strokes.cancel();
  }

  // A tool that does its work at once.
  step(tool, otherwise) {
    this.begin();
    const box = tool(this.raster);
    this.commit(box);
    if (!box) toast(typeof otherwise === "function" ? otherwise() : otherwise);
  }

  turn(name) {
    this.tools.giveUp();
    this.points = [];
    if (!this.strokes[name]()) toast(name === "undo" ? "There is nothing to undo here." : "There is nothing to redo.");
    this.tools.sketch();
    this.tell();
  }

  tell() {
    const seen = histogram(this.raster);
    const parts = this.labels(seen).length;
    const more = parts ? `, and ${parts} new ${parts === 1 ? "mask" : "masks"}` : "";
    setText(byId("editor-words"), `${count(seen[MASK])} px${more}`);
    return seen;
  }

  // The labels of new masks that a split has made and that still have pixels.
  labels(seen = histogram(this.raster)) {
    return Array.from(seen.keys()).filter((label) => label > 1 && seen[label]);
  }

  // The mask is now what these counts say, and stays so until something is drawn.
  know(counts, seen) {
    this.known = this.labels(seen).length ? null : { counts, changes: this.strokes.changes };
  }

  counts() {
    const { data, width, height } = this.raster;
    return this.known?.changes === this.strokes.changes ? this.known.counts : encode(data, width, height);
  }

  // A click for the segmenter: all clicks since the mask was last drawn by hand count together.
  async click(point, label) {
    if (!this.points.length) this.prompt = this.raster.data.includes(MASK) ? this.counts() : null;
    this.points = [...this.points, [...point, label]];
    this.tools.sketch();
    const { raster, points } = this;
    const asked = ++this.asked;
    setText(byId("editor-words"), "The segmenter draws …");
    try {
      const answer = await api.segment({
        mask_id: this.image.picture_of, points: points.map(([x, y]) => [x, y]),
        labels: points.map((each) => each[2]), counts: this.prompt,
      });
      if (this.raster !== raster || asked !== this.asked || this.points !== points) return;
      this.begin();
      this.strokes.commit(replace(raster, decode(answer.counts, raster.width, raster.height)));
      this.know(answer.counts, this.tell());
    } catch (error) {
      toast(error.message, "wrong");
      this.tell();
    }
    this.canvas.draw();
  }

  changed() {
    if (!this.begun) return area(this.raster) > 0;
    return this.raster.data.some((label, at) => label !== this.begun[at]);
  }

  async save() {
    const { width, height, data } = this.raster;
    const split = this.labels();
    if (!area(this.raster) && !split.length) {
      await this.saveEmpty();
      return;
    }
    if (this.mode === "fix" && this.renamed() && !this.changed()) {
      this.end({ action: "fix", counts: null, parts: [], category: this.renamed() });
      return;
    }
    if (this.mode === "fix" && !this.changed()) {
      const accept = await ask("No pixel has changed", "A fix changes the mask. Is it right as it is?", [["accept", "Accept it"], ["", "Go on drawing"]]);
      if (accept) this.end({ action: accept });
      return;
    }
    if (!area(this.raster)) {
      toast("This mask is empty, only the new ones have pixels. Undo, or paint something.", "wrong");
      return;
    }
    // What is proposed may be of no category, or of one that no mask has: then a person says.
    const unnamed = (this.card?.proposed || this.categories.about.must_name) && this.card?.category === null;
    const category = this.mode === "fix" && !unnamed ? this.renamed() : this.categories.chosen;
    if (category === undefined) {
      this.categories.ask();
      return;
    }
    if (this.mode === "missing") this.categories.last = category;
    const counts = encode(data, width, height);
    const parts = split.map((label) => encode(data, width, height, label));
    this.end({ action: this.mode, counts, parts, category });
  }

  // The category that a fixed mask gets, null where it keeps its own.
  renamed() {
    const category = this.categories.chosen ?? null;
    return category === this.card.category ? null : category;
  }

  async saveEmpty() {
    if (this.mode === "missing") {
      toast("Draw the missing mask first.");
      return;
    }
    const reject = await ask("The mask is empty", "An empty mask cannot be saved. Reject it instead?", [["reject", "Reject it"], ["", "Go on drawing"]]);
    if (reject) this.end({ action: reject });
  }

  async cancelAll() {
    if (this.tools.giveUp()) return;
    const leave = !(this.changed() || (this.mode === "fix" && this.renamed())) || await ask("Leave without saving?", "What you drew is lost.", [["leave", "Leave"], ["", "Go on drawing"]]);
    if (leave) this.end(NOTHING);
  }

  // Six million pixels are not kept for nothing.
  leave() {
    this.raster = this.begun = this.strokes = null;
    this.loading = false;
    this.canvas.reset(null);
  }
}
