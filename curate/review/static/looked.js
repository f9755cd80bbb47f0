// After the last mask of a drawn image: the image with all its masks. Is anything missing?

import * as api from "/static/api.js";
import { outlines, planeOf } from "/static/cards.js";
import { announce, byId, el, plural, setText } from "/static/dom.js";
import { Viewer } from "/static/viewer.js";

export class Looked {
  constructor() {
    this.viewer = new Viewer([byId("panel-looked")]);
    this.ready = false;
    this.image = null;
  }

  // `added` tells what was added to the image here, as a path.
  async open(image, added) {
    this.added = added;
    if (this.image && this.image.image_id === image.image_id) return;
    this.image = image;
    await this.again();
  }

  // Draws the image anew: masks may have been added meanwhile.
  async again() {
    const { image } = this;
    this.ready = false;
    setText(byId("looked-file"), image.file_name);
    setText(byId("looked-words"), "The image is being fetched …");
    try {
      const found = await api.image(image.image_id);
      if (this.image !== image) return;
      await this.draw(found);
    } catch (error) {
      setText(byId("looked-words"), error.message);
      if (error.away) setTimeout(() => this.image === image && this.again(), 2000);
      else this.ready = true;
    }
  }

  async draw(found) {
    const box = { x: 0, y: 0, w: found.width, h: found.height };
    const image = el("img", { alt: "", draggable: "false", src: api.pictureUrl(found.picture_of, "whole") });
    await image.decode().catch(() => {});
    const layers = found.masks.map((mask) => ({ path: mask.path, kind: "mine" }));
    layers.push({ path: this.added(), kind: "new" });
    this.viewer.show([planeOf(image, outlines(box, layers))], box, box);
    this.box = box;
    setText(byId("looked-words"), `${plural(found.masks.length, "mask is", "masks are")} drawn on this image.`);
    announce(`Is anything missing? ${plural(found.masks.length, "mask", "masks")}.`);
    this.ready = true;
  }

  act(name) {
    if (name === "larger" || name === "smaller") this.viewer.zoom(name === "larger" ? 1.4 : 1 / 1.4);
    if (name === "zoom" && this.box) this.viewer.show(this.viewer.planes, this.box, this.box);
    if (name === "mask") {
      const on = byId("looked-mask").getAttribute("aria-pressed") !== "true";
      byId("looked-mask").setAttribute("aria-pressed", String(on));
      byId("looked-stage").classList.toggle("bare", !on);
    }
  }
}
