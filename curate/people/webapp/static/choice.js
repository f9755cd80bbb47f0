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
    const end = (value) => {
      dialog.removeEventListener("close", leave);
      resolve(value);
    };
    // The browser says "close" a moment later: that of a question before may come while this stands.
    const leave = () => { if (!dialog.open) end(""); };
    dialog.addEventListener("close", leave);
    byId("choice-buttons").onclick = (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      event.preventDefault();
      dialog.close(button.value);
      end(button.value);  // at once, so that no click that follows is lost
    };
  });
}
