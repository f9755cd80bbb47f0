// What a card says of its image, and what the page says when it has no card.

import { plural } from "/static/dom.js";

// What the editor and the question about whole images need of a card.
export function imageOf(card) {
  const { image_id, file_name, width, height, mask_id, category, picture } = card;
  return { image_id, file_name, width, height, picture_of: mask_id, category, tiles_of: picture };
}

// What is said when there is no mask to show: a title and a sentence. `left` counts all open masks,
// `unsettled` those on which people have decided to no end.
export function restWords(deck, { filtered, waiting, left, unsettled }) {
  if (deck.stopped) return stoppedWords(deck.stopped);
  if (deck.state === "away" && deck.problem.trouble) return ["No mask can be shown now", `The server says: ${deck.problem.trouble}. What you decided is kept here. The page asks again by itself.`];
  if (deck.state === "away") return ["The server does not answer", "What you decided is kept here. The page asks again by itself."];
  if (deck.state === "busy" && (waiting || deck.unsure)) return ["Waiting for the server", "Your last decisions are being saved."];
  if (deck.state === "busy") return ["Others have the rest", "The masks that are left are with other people. The page asks again by itself."];
  if (deck.state !== "done") return ["One moment", "The next masks are being fetched."];
  if (filtered) return ["Nothing more fits the filter", "Show all masks to go on."];
  if (left > 0) return ["Your part is done", `Thank you. ${leftWords(left, unsettled)}`];
  return ["All is decided", "Thank you. Every mask of this queue has its decision."];
}

function stoppedWords(why) {
  if (why.startsWith("another queue")) return ["Another queue is open here now", "Reload the page. What you decided for the former queue is kept in this browser."];
  return ["The audit has changed", `${why[0].toUpperCase()}${why.slice(1)}. What was not saved before is kept in this browser.`];
}

function leftWords(left, unsettled) {
  if (!unsettled) return "The remaining masks need another reviewer.";
  const all = unsettled >= left;
  const words = `${plural(unsettled, "mask is", "masks are")} not settled, since people disagree: somebody else has to decide`;
  return all ? `${words}.` : `${words}. Others of those that are left need the eyes of somebody else, too.`;
}

// What the server refused, for people who want to know.
export function refusedWords(records) {
  return records.map(({ event, refused }) => {
    const what = event.action || event.type.replaceAll("_", " ");
    const of = event.item ? `mask ${event.item.split(".")[0]}` : `image ${event.image_id}`;
    return `${what}, ${of}: ${refused}`;
  }).join("\n");
}
