// One table of keys: what is pressed, where it counts, what it does. The help dialog is made of it.

import { byId, el } from "/static/dom.js";
import { keysOf, shownOf } from "/static/key_map.js";

const VIEW = "View";
const DECIDE = "Decide";
const TOOLS = "Tools of the editor";
const PAGE = "Page";

const SHOWN = ["single", "grid", "editor", "looked"];
const PICTURE = "Picture";
const PICTURE_KEYS = [
  { act: "picture", keys: ["q"], shown: "Q", words: "Adjust the picture: a panel of all this", in: SHOWN, group: PICTURE },
  { act: "darker", alone: "Darker", keys: ["5"], in: SHOWN, repeat: true },
  { act: "brighter", alone: "Brighter", keys: ["6"], shown: "5 and 6", words: "Darker, brighter", in: SHOWN, group: PICTURE, repeat: true },
  { act: "softer", alone: "Less contrast", keys: ["7"], in: SHOWN, repeat: true },
  { act: "harder", alone: "More contrast", keys: ["8"], shown: "7 and 8", words: "Less, more contrast", in: SHOWN, group: PICTURE, repeat: true },
  { act: "gammaDown", alone: "Gamma: dark parts darker", keys: [","], in: SHOWN, repeat: true },
  { act: "gammaUp", alone: "Gamma: dark parts brighter", keys: ["."], shown: ", and .", words: "Gamma: dark parts darker, brighter", in: SHOWN, group: PICTURE, repeat: true },
  { act: "invert", keys: ["9"], shown: "9", words: "Invert", in: SHOWN, group: PICTURE },
  { act: "channel", keys: ["k"], shown: "K", words: "All channels, or red, green, blue alone", in: SHOWN, group: PICTURE },
  { act: "pixels", keys: ["j"], shown: "J", words: "Zoomed in: smooth, or pixels", in: SHOWN, group: PICTURE },
  { act: "pictureReset", keys: ["0"], shown: "0", words: "The picture as it was", in: SHOWN, group: PICTURE },
];

// `repeat` marks what may be held down; a decision never repeats by itself.
export const KEYS = [
  { act: "accept", keys: ["a", "Enter"], shown: "A or Enter", words: "Accept: the mask is right", in: ["single"], group: DECIDE },
  { act: "reject", keys: ["r"], shown: "R", words: "Reject: the mask is wrong", in: ["single"], group: DECIDE },
  { act: "fix", keys: ["f"], shown: "F", words: "Fix it in place", in: ["single"], group: DECIDE },
  { act: "relabel", keys: ["c"], shown: "C", words: "Wrong category: change it", in: ["single"], group: DECIDE },
  { act: "take", keys: ["t"], shown: "T", words: "Take the suggested fix", in: ["single"], group: DECIDE },
  { act: "keepThis", keys: ["1"], shown: "1", words: "Of both: keep this, reject the other", in: ["single"], group: DECIDE },
  { act: "keepTwin", keys: ["2"], shown: "2", words: "Of both: keep the other, reject this", in: ["single"], group: DECIDE },
  { act: "keepBoth", keys: ["3"], shown: "3", words: "Of both: keep both", in: ["single"], group: DECIDE },
  { act: "mergeTwin", keys: ["4"], shown: "4", words: "Of both: merge them into this", in: ["single"], group: DECIDE },
  { act: "skip", keys: ["s"], shown: "S", words: "Skip: not now", in: ["single"], group: DECIDE },
  { act: "undo", keys: ["u", "mod+z"], shown: "U or Ctrl+Z", words: "Undo, one by one", in: ["single", "grid", "looked", "rest"], group: DECIDE },
  { act: "note", keys: ["w"], shown: "W", words: "Say why the last one was rejected or fixed", in: ["single", "grid", "looked", "rest"], group: DECIDE },
  { act: "missing", keys: ["i", "+"], shown: "I or +", words: "Add a missing mask", in: ["single", "looked"], group: DECIDE },
  { act: "nothing", keys: ["a", "Enter"], shown: "A or Enter", words: "Whole image: nothing is missing", in: ["looked"], group: DECIDE },
  { act: "zoom", keys: ["z"], shown: "Z", words: "Zoom: window, near, whole image", in: ["single", "editor", "looked"], group: VIEW },
  { act: "mask", keys: ["m"], shown: "M", words: "Mask on or off", in: ["single", "editor", "looked"], group: VIEW },
  { act: "others", keys: ["o"], shown: "O", words: "Other masks on or off", in: ["single", "editor"], group: VIEW },
  { act: "every", keys: ["e"], shown: "E", words: "All masks of the image, by category", in: ["single", "looked"], group: VIEW },
  { act: "reason", keys: ["n"], shown: "N", words: "Next reason", in: ["single"], group: VIEW, repeat: true },
  ...PICTURE_KEYS,
  { act: "screen", keys: ["Enter"], shown: "Enter", words: "Accept the screen but what is taken out", in: ["grid"], group: "Grid" },
  { act: "out", keys: ["x", " "], shown: "X, Space or click", words: "Take one out: it is shown alone afterwards", in: ["grid"], group: "Grid" },
  { act: "screenReject", keys: ["R"], shown: "Shift+R", words: "Reject the screen but what is taken out", in: ["grid"], group: "Grid" },
  { act: "gridReject", keys: ["r"], shown: "R", words: "Reject the focused one", in: ["grid"], group: "Grid" },
  { act: "left", alone: "Focus to the left", keys: ["ArrowLeft"], in: ["grid"], repeat: true },
  { act: "right", alone: "Focus to the right", keys: ["ArrowRight"], in: ["grid"], repeat: true },
  { act: "up", alone: "Focus up", keys: ["ArrowUp"], in: ["grid"], repeat: true },
  { act: "down", alone: "Focus down", keys: ["ArrowDown"], shown: "Arrows", words: "Move the focus", in: ["grid"], group: "Grid", repeat: true },
  { act: "grid", keys: ["g"], shown: "G", words: "Grid, or one at a time", in: ["single", "grid", "rest"], group: PAGE },
  { act: "bulk", keys: ["b"], shown: "B", words: "Decide on all masks that fit the filter", in: ["single", "grid", "rest"], group: PAGE },
  { act: "filter", keys: ["/"], shown: "/", words: "Filter by category, reason, kind, score", in: ["single", "grid", "rest"], group: PAGE },
  { act: "guide", keys: ["d"], shown: "D", words: "The project's guidelines", in: ["single", "grid", "looked", "rest"], group: PAGE },
  { act: "help", keys: ["?"], shown: "?", words: "These keys", in: ["single", "grid", "editor", "looked", "rest"], group: PAGE },
  { act: "tool:brush", keys: ["b"], shown: "B", words: "Brush", in: ["editor"], group: TOOLS },
  { act: "tool:eraser", keys: ["e"], shown: "E", words: "Eraser", in: ["editor"], group: TOOLS },
  { act: "tool:polygon", keys: ["p"], shown: "P", words: "Polygon; with Shift or Alt it takes away", in: ["editor"], group: TOOLS },
  { act: "tool:hole", keys: ["h"], shown: "H", words: "Fill a hole", in: ["editor"], group: TOOLS },
  { act: "fillHoles", keys: ["H"], shown: "Shift+H", words: "Fill all holes", in: ["editor"], group: TOOLS },
  { act: "tool:island", keys: ["d"], shown: "D", words: "Delete an island", in: ["editor"], group: TOOLS },
  { act: "keepLargest", keys: ["D"], shown: "Shift+D", words: "Keep the largest island", in: ["editor"], group: TOOLS },
  { act: "tool:split", keys: ["x"], shown: "X", words: "Split along a line", in: ["editor"], group: TOOLS },
  { act: "tool:click", keys: ["c"], shown: "C", words: "Clicks that redraw it (Shift: not this)", in: ["editor"], group: TOOLS },
  { act: "tool:pan", keys: ["v"], shown: "V or Space", words: "Move the picture", in: ["editor"], group: TOOLS },
  { act: "thinner", alone: "Thinner brush", keys: ["["], in: ["editor"], repeat: true },
  { act: "thicker", alone: "Thicker brush", keys: ["]"], shown: "[ and ]", words: "Size of the brush", in: ["editor"], group: TOOLS, repeat: true },
  { act: "undo", keys: ["u", "mod+z"], shown: "U or Ctrl+Z", words: "Undo in the editor", in: ["editor"], group: TOOLS, repeat: true },
  { act: "redo", keys: ["U", "mod+shift+z", "mod+y"], shown: "Shift+U", words: "Redo", in: ["editor"], group: TOOLS, repeat: true },
  { act: "save", keys: ["Enter"], shown: "Enter", words: "Save, or close the polygon", in: ["editor"], group: TOOLS },
  { act: "leave", keys: ["Escape"], shown: "Esc", words: "Cancel", in: ["editor"], group: TOOLS },
  { act: "larger", alone: "Larger", keys: ["="], in: ["single", "editor", "looked"], repeat: true },
  { act: "smaller", alone: "Smaller", keys: ["-"], shown: "= and -", words: "Larger, smaller; or the wheel, or two fingers", in: ["single", "editor", "looked"], group: VIEW, repeat: true },
];

const NATIVE = new Set(["Enter", " "]);

export function pressed(event) {
  const mod = event.ctrlKey || event.metaKey;
  if (!mod) return event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key;
  return `mod+${event.shiftKey ? "shift+" : ""}${event.key.toLowerCase()}`;
}

function find(event, view) {
  const key = pressed(event);
  const here = KEYS.filter((each) => each.in.includes(view));
  // With caps lock or shift held, a letter that has no meaning of its own means the small one.
  return here.find((each) => keysOf(each).includes(key))
    || here.find((each) => !event.ctrlKey && !event.metaKey && keysOf(each).includes(key.toLowerCase()));
}

// A button does its own thing at Enter and Space, a field takes every letter.
function taken(event) {
  const { target } = event;
  const dialog = target.closest("dialog");
  if (dialog && !dialog.open) return false; // just closed: the focus leaves it a little later
  if (target.closest("dialog, select, textarea, input:not([type=range], [type=checkbox])")) return true;
  if (event.key.startsWith("Arrow") && target.matches("input[type=range]")) return true;
  return NATIVE.has(event.key) && target.closest("button, a, summary, input") !== null;
}

export function listen(viewNow, act) {
  addEventListener("keydown", (event) => {
    if (event.altKey || event.isComposing || taken(event)) return;
    const found = find(event, viewNow());
    if (!found) return;
    event.preventDefault();
    if (!event.repeat || found.repeat) act(found.act, event);
  });
}

// `wordsOf` gives what a key does in this kind of queue.
export function fillHelp(wordsOf) {
  const groups = new Map();
  for (const each of KEYS) if (each.words) groups.set(each.group, [...(groups.get(each.group) || []), each]);
  const sections = [...groups].map(([title, keys]) => el("section", {}, el("h3", {}, title),
    el("dl", {}, ...keys.flatMap((each) => [el("dt", {}, el("kbd", {}, shownOf(each, KEYS))), el("dd", {}, wordsOf(each))]))));
  byId("help-keys").replaceChildren(...sections);
}
