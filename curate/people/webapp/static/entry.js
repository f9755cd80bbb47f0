// What is asked before the first mask: the token, where the server wants one, and a name.

import * as api from "/static/api.js";
import { byId, setText } from "/static/dom.js";

const NAME = "curate-reviewer";

let giveUp = () => {};

// Shows the form with these words and resolves with what was typed, once `accept` takes it; with
// null when it is left, or when something else has to be asked first.
function askFor({ title, words, label, type, complete, value = "", leave = false, accept }) {
  giveUp();
  setText(byId("entry-title"), title);
  setText(byId("entry-words"), words);
  setText(byId("entry-label"), label);
  setText(byId("entry-error"), "");
  const field = byId("entry-value");
  Object.assign(field, { value, type, autocomplete: complete });
  byId("entry-leave").hidden = !leave;
  field.focus();
  field.select();
  return new Promise((resolve) => {
    giveUp = () => resolve(null);
    byId("entry-leave").onclick = giveUp;
    byId("entry").onkeydown = (event) => { if (leave && event.key === "Escape") giveUp(); };
    byId("entry").onsubmit = async (event) => {
      event.preventDefault();
      const error = await accept(field.value.trim());
      if (!error) resolve(field.value.trim());
      setText(byId("entry-error"), error || "");
      field.value = error ? "" : field.value;
      field.focus();
    };
  });
}

export function askToken() {
  return askFor({
    title: "Sign in", label: "Token", type: "password", complete: "off",
    words: "The command that started this page printed a token.",
    accept: (token) => api.signIn(token).then(() => null, (error) => error.message),
  });
}

export function askName(value, leave) {
  return askFor({
    title: "Who reviews?", label: "Your name", type: "text", complete: "username", value, leave,
    words: "Your decisions are kept under this name. This browser remembers it.",
    accept: async (name) => (name ? null : "A name is needed."),
  });
}

export function rememberedName() {
  try {
    return localStorage.getItem(NAME) || "";
  } catch {
    return ""; // a browser may forbid storage; the name is then asked each time
  }
}

export function rememberName(name) {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    // see above
  }
}
