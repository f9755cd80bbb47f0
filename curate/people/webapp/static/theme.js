// Light, dark, or as the system has it; kept in this browser.

import { announce, byId, setText } from "/static/dom.js";

const KEY = "curate-theme";
const THEMES = { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // forbidden: then as the system has it
  }
}

function set(theme) {
  document.documentElement.dataset.theme = theme;
  setText(byId("theme"), THEMES[theme]);
}

// Gives the button its work: each press takes the next one.
export function listenTheme() {
  const names = Object.keys(THEMES);
  const known = remembered();
  set(names.includes(known) ? known : "system");
  byId("theme").addEventListener("click", () => {
    const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // it holds until the page is closed
    }
    set(next);
    announce(THEMES[next]);
  });
}
