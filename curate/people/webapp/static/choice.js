// A small question with a few answers.

import { byId, el, setText } from "/static/dom.js";

// `answers` are [value, words]; resolves with the value, "" when the dialog is closed otherwise.
export function ask(title, words, answers) {
  const dialog = byId("choice");
  setText(byId("choice-title"), title);
  setText(byId("choice-words"), words);
  byId("choice-buttons").replaceChildren(...answers.map(([value, label], k) => el("button", {
    value, class: k ? "" : "main", autofocus: k === 0,
  }, label)));
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}
