// Which key does what where somebody chose another one; kept in this browser.

const KEY = "curate-keys";
const NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };
export const FIXED = ["Enter", "Escape", "Tab", " ", "Shift", "Control", "Alt", "Meta", "CapsLock", "Dead", "Process", "Unidentified"];

let chosen = read();

function read() {
  try {
    const kept = Object.entries(JSON.parse(localStorage.getItem(KEY)) || {});
    return Object.fromEntries(kept.filter(([, key]) => typeof key === "string" && key && !FIXED.includes(key)));
  } catch {
    return {}; // forbidden, or not ours
  }
}

function keep(made) {
  chosen = made;
  try {
    localStorage.setItem(KEY, JSON.stringify(made));
  } catch {
    // then they hold until the page is closed
  }
}

const idOf = (each) => `${each.act}/${each.in[0]}`;

// The keys of an action: the chosen one in the place of its letters. Enter and Space stay.
export function keysOf(each) {
  const own = chosen[idOf(each)];
  return own === undefined ? each.keys : [own, ...each.keys.filter((key) => FIXED.includes(key))];
}

export const isChanged = (each) => chosen[idOf(each)] !== undefined;

export function nameOf(key) {
  if (key.startsWith("mod+")) return `Ctrl+${nameOf(key.slice(4))}`;
  if (key.startsWith("shift+")) return `Shift+${nameOf(key.slice(6))}`;
  if (key.length !== 1) return NAMES[key] ?? key;
  return key !== key.toLowerCase() ? `Shift+${key}` : NAMES[key] ?? key.toUpperCase();
}

// How the keys of an action are written. Those of a pair stand at one of the two.
export function shownOf(each, all) {
  const at = all.indexOf(each);
  const pair = each.alone && !all[at - 1]?.shown && all[at - 1]?.alone ? [all[at - 1], each] : [each];
  if (!pair.some(isChanged)) return each.shown ?? nameOf(each.keys[0]);
  return pair.map((one) => nameOf(keysOf(one)[0])).join(" and ");
}

// The action that has a key already in one of the same views, if any.
export function takenBy(key, each, all) {
  return all.find((other) => other !== each && keysOf(other).includes(key) && other.in.some((view) => each.in.includes(view))) ?? null;
}

export const choose = (each, key) => keep({ ...chosen, [idOf(each)]: key });

export const resetKeys = () => keep({});
