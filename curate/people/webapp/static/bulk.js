// All masks that fit the filter at once: pictures of some, a count that is typed, one decision.

import * as api from "/static/api.js";
import { outlines } from "/static/cards.js";
import { byId, count, el, plural, setText } from "/static/dom.js";

const DID = { accept: "Accepted", reject: "Rejected" };

export class Bulk {
  constructor() {
    this.dialog = byId("bulk");
    byId("bulk-leave").addEventListener("click", () => this.dialog.close());
    byId("bulk-count").addEventListener("input", () => this.check());
    byId("bulk-form").addEventListener("submit", (event) => { event.preventDefault(); this.decide(); });
    for (const radio of this.radios()) radio.addEventListener("change", () => this.preview());
  }

  radios() {
    return [...this.dialog.querySelectorAll("input[type=radio]")];
  }

  get action() {
    return this.radios().find((radio) => radio.checked).value;
  }

  // Resolves with {number, masks, said} of the decision, null when none was made.
  async open(filter, reviewer) {
    Object.assign(this, { filter, reviewer, made: null, found: null });
    byId("bulk-count").value = "";
    this.radios().forEach((radio) => { radio.checked = radio.value === "reject"; });
    setText(byId("bulk-error"), "");
    byId("bulk-pictures").replaceChildren();
    this.dialog.showModal();
    byId("bulk-count").focus();
    const closed = new Promise((resolve) => {
      this.dialog.addEventListener("close", () => resolve(this.made), { once: true });
    });
    await this.preview();
    return closed;
  }

  wish() {
    return { action: this.action, filter: this.filter, reviewer: this.reviewer };
  }

  async preview() {
    this.found = null;
    this.check();
    setText(byId("bulk-words"), "The masks are being counted …");
    const { action } = this;
    const found = await api.previewBulk(this.wish()).catch((error) => ({ error: error.message }));
    if (!this.dialog.open || action !== this.action) return;
    if (found.error) setText(byId("bulk-error"), found.error);
    else this.show(found);
    this.check();
  }

  show(found) {
    this.found = found;
    const rest = [[found.looked, "that people looked at stay as they are"], [found.already, "are so already"]]
      .filter(([number]) => number).map(([number, words]) => ` ${count(number)} more ${words}.`).join("");
    setText(byId("bulk-words"), `${plural(found.masks, "mask", "masks")} in ${plural(found.images, "image", "images")}, where ${found.condition}.${rest}`);
    setText(byId("bulk-shown"), found.cards.length < found.masks ? `${found.cards.length} of them, from the first to the last:` : "");
    byId("bulk-pictures").replaceChildren(...found.cards.map(pictureOf));
  }

  // The number must be typed: nobody decides on hundreds of masks by an Enter too many.
  check() {
    const typed = byId("bulk-count").value.replace(/\D/g, "");
    const total = this.found?.masks ?? 0;
    byId("bulk-go").disabled = !total || Number(typed) !== total;
    setText(byId("bulk-go").firstElementChild, `${this.action === "reject" ? "Reject" : "Accept"} all${total ? ` ${count(total)}` : ""}`);
    setText(byId("bulk-ask"), total ? `Type ${total} to confirm` : this.found ? "Nothing is left to decide" : "");
  }

  async decide() {
    if (byId("bulk-go").disabled) return;
    byId("bulk-go").disabled = true;
    try {
      const done = await api.decideBulk({ ...this.wish(), count: this.found.masks });
      this.made = { ...done, said: `${DID[this.action]} in bulk: ${plural(done.masks, "mask", "masks")}` };
      this.dialog.close();
    } catch (error) {
      await this.preview();
      setText(byId("bulk-error"), error.message);
    }
  }
}

function pictureOf(card) {
  const box = { x: 0, y: 0, w: card.window.w, h: card.window.h };
  const image = card.picture ? [el("img", { src: card.picture, alt: "", loading: "lazy" })] : [];
  const plane = el("span", { class: "plane" }, ...image, outlines(box, [{ path: card.path, kind: "mine" }]));
  plane.style.aspectRatio = `${box.w} / ${box.h}`; // nothing is stretched
  return el("figure", {}, plane, el("figcaption", { class: "name" }, card.category ?? "no category"));
}
