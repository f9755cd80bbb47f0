// The dialog in which a person says why a mask was rejected or fixed: tags by keys 1 to 9, a comment.

import { byId, el, setText } from "/static/dom.js";

const WITH_KEYS = 9;

export class NoteDialog {
  constructor(about) {
    this.dialog = byId("note");
    this.comment = byId("note-comment");
    this.known = about.tags;
    byId("note-leave").addEventListener("click", () => this.dialog.close());
    byId("note-save").addEventListener("click", () => this.save());
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    byId("note-tags").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.turn(button);
    });
  }

  // Resolves with { tags, comment }, null when the dialog is closed without saving.
  open(words, { tags, comment }) {
    this.said = null;
    setText(byId("note-words"), words);
    const others = tags.filter((tag) => !this.known.includes(tag));
    byId("note-tags").replaceChildren(...[...this.known, ...others].map((tag, k) => this.button(tag, k, tags.includes(tag))));
    this.comment.value = comment;
    this.dialog.showModal();
    (byId("note-tags").firstElementChild ?? this.comment).focus();
    return new Promise((resolve) => {
      this.dialog.addEventListener("close", () => resolve(this.said), { once: true });
    });
  }

  button(tag, k, on) {
    const key = k < WITH_KEYS ? [" ", el("kbd", {}, String(k + 1))] : [];
    return el("button", { type: "button", "data-tag": tag, "aria-pressed": String(on) }, tag, ...key);
  }

  turn(button) {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
  }

  key(event) {
    const button = byId("note-tags").children[Number(event.key) - 1];
    const leaves = event.target === byId("note-leave");
    if (event.key === "Enter" && !leaves) this.save();
    else if (button && Number(event.key) <= WITH_KEYS && event.target !== this.comment) this.turn(button);
    else return;
    event.preventDefault();
    event.stopPropagation(); // with the dialog closed, Enter would accept the next mask
  }

  save() {
    const on = [...byId("note-tags").children].filter((button) => button.getAttribute("aria-pressed") === "true");
    this.said = { tags: on.map((button) => button.dataset.tag), comment: this.comment.value.trim() };
    this.dialog.close();
  }
}
