// After the last mask of a drawn image: the image with all its masks. Is anything missing?

import * as api from "/static/api.js";
import { loadImage, outlines, planeOf } from "/static/cards.js";
import { announce, byId, plural, setText } from "/static/dom.js";
import { tilesOf } from "/static/tiles.js";
import { distance, Viewer } from "/static/viewer.js";

const NOWHERE = { x: 0, y: 0, w: 1, h: 1 };
const AGAIN_MS = 2000;
const STILL_PX = 5; // a pointer that moves further drags the picture

export class Looked {
  constructor(every) {
    this.every = every;
    this.found = null; // the image that is drawn
    this.viewer = new Viewer([byId("panel-looked")]);
    this.ready = false;
    this.failed = false;
    this.image = null;
    this.gone = new Set(); // masks that were rejected or fixed here
    this.picked = () => {}; // called with the mask that is clicked on
    this.listen(byId("looked-stage"));
  }

  // The viewer captures the pointer, so a click has to ask what lies under it.
  listen(stage) {
    let from = [0, 0];
    stage.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY]; });
    stage.addEventListener("click", ({ clientX, clientY }) => {
      const path = document.elementFromPoint(clientX, clientY)?.closest(".every path");
      if (path && distance(from, [clientX, clientY]) < STILL_PX) this.picked(path.dataset.mask);
    });
  }

  // `added` tells what was added to the image here, as paths.
  async open(image, added) {
    this.added = added;
    if (this.image && this.image.image_id === image.image_id) return;
    this.image = image;
    await this.again();
  }

  // Draws the image anew: masks may have been added meanwhile. Who has not seen the picture cannot
  // say that nothing is missing on it.
  async again() {
    const { image } = this;
    this.turn(false, false);
    setText(byId("looked-file"), image.file_name);
    setText(byId("looked-words"), "The image is being fetched …");
    try {
      const found = await api.image(image.image_id);
      const picture = await loadImage(found.picture || api.pictureUrl(found.picture_of, "whole"));
      if (this.image === image) this.draw(found, picture);
      else URL.revokeObjectURL(picture.src);
    } catch (error) {
      if (this.image === image) this.tellFailed(image, error);
    }
  }

  tellFailed(image, error) {
    this.turn(false, true);
    this.viewer.show([], NOWHERE, () => NOWHERE);
    setText(byId("looked-words"), `The image cannot be shown, so missing objects cannot be marked. ${error.message}`);
    announce(byId("looked-words").textContent);
    clearTimeout(this.later);
    if (error.away) this.later = setTimeout(() => this.image === image && this.failed && this.again(), AGAIN_MS);
  }

  turn(ready, failed) {
    Object.assign(this, { ready, failed });
    byId("looked-nothing").disabled = !ready;
    byId("looked-failed").hidden = !failed;
  }

  draw(found, picture) {
    const box = { x: 0, y: 0, w: found.width, h: found.height };
    const standing = found.masks.filter((mask) => !this.gone.has(mask.mask_id));
    const layers = standing.map((mask) => ({ path: mask.path, kind: "mine" }));
    const added = this.added(); // a layer each: where two overlap, one path of both would be empty
    layers.push(...added.map((path) => ({ path, kind: "new" })));
    if (this.picture) URL.revokeObjectURL(this.picture.src);
    this.picture = picture;
    this.box = box;
    this.found = found;
    this.viewer.show([planeOf(picture, outlines(box, layers))], box, () => box, tilesOf(found));
    this.drawEvery();
    const drawn = standing.length + added.length;
    setText(byId("looked-words"), `${plural(drawn, "mask is", "masks are")} drawn on this image.`);
    announce(`Is anything missing? ${plural(drawn, "mask", "masks")}.`);
    this.turn(true, false);
  }

  drawEvery() {
    if (this.ready || this.found) this.every.draw(byId("looked-stage"), this.viewer.planes[0], { ...this.found, mask_id: null, gone: this.gone }, { x: 0, y: 0 });
  }

  act(name) {
    if (name === "again") this.again();
    if (name === "larger" || name === "smaller") this.viewer.zoom(name === "larger" ? 1.4 : 1 / 1.4);
    if (name === "zoom" && this.ready) this.viewer.show(this.viewer.planes, this.box, () => this.box, tilesOf(this.found));
    if (name === "mask") {
      const on = byId("looked-mask").getAttribute("aria-pressed") !== "true";
      byId("looked-mask").setAttribute("aria-pressed", String(on));
      byId("looked-stage").classList.toggle("bare", !on);
    }
  }
}
