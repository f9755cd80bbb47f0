// Starts the page and lets every key and button do its work.

import * as api from "/static/api.js";
import { claimClient } from "/static/client.js";
import { Bulk } from "/static/bulk.js";
import { Clock } from "/static/clock.js";
import { Decisions } from "/static/decisions.js";
import { Deck } from "/static/deck.js";
import { announce, byId, setText, sleep, toast } from "/static/dom.js";
import { Editor } from "/static/editor.js";
import { Ending } from "/static/ending.js";
import { askName, askToken, rememberedName, rememberName } from "/static/entry.js";
import { EveryMask } from "/static/every_mask.js";
import { Filters } from "/static/filters.js";
import { Guide } from "/static/guide.js";
import { Grid } from "/static/grid.js";
import { fillHelp, listen } from "/static/keys.js";
import { KeyDialog } from "/static/key_dialog.js";
import { NoteDialog } from "/static/note.js";
import { Looked } from "/static/looked.js";
import { PicturePanel } from "/static/picture_panel.js";
import { Proposals } from "/static/proposals.js";
import { Picker } from "/static/picker.js";
import { Outbox } from "/static/outbox.js";
import { Progress, showSaved } from "/static/progress.js";
import { Review } from "/static/review.js";
import { listenTheme } from "/static/theme.js";
import { Single } from "/static/single.js";

const VIEWS = ["entry", "rest", "single", "grid", "editor", "looked"];
const READ_ALOUD = ["rest", "single", "looked"]; // the focus goes to their heading; the others place it
const START_WAIT_MS = 1500;
const SEND_FIRST_MS = 3000;

function show(view) {
  if (document.body.dataset.view === view) return;
  document.body.dataset.view = view;
  const focused = document.activeElement;
  for (const each of VIEWS) byId(`view-${each}`).hidden = each !== view;
  const lost = focused === document.body || focused.closest("[hidden]");
  if (lost && READ_ALOUD.includes(view)) byId(`${view}-title`).focus({ preventScroll: true });
}

async function persistently(question) {
  for (;;) {
    try {
      return await question();
    } catch (error) {
      if (error.mustSignIn) await signIn();
      setText(byId("rest-title"), "The server does not answer");
      setText(byId("rest-words"), `${error.message} The page asks again by itself.`);
      byId("rest-undo").hidden = true;
      show("rest");
      await sleep(START_WAIT_MS);
    }
  }
}

let signingIn = null;

// Asked once, however many requests were refused; the page goes on where it was.
function signIn() {
  const before = document.body.dataset.view;
  if (!signingIn) {
    show("entry");
    signingIn = askToken().then(() => { signingIn = null; show(before); });
  }
  return signingIn;
}

// What this browser remembers; else it is asked once, and the command may have said what to expect.
async function firstName(expected) {
  const known = rememberedName();
  if (known) return known;
  show("entry");
  const name = await askName(expected, false);
  rememberName(name);
  return name;
}

async function start() {
  listenTheme();
  const claimed = claimClient();
  let session = await persistently(api.session);
  if (session.needs_token && !session.signed_in) {
    await signIn();
    session = await persistently(api.session); // the reviewer's name is told to nobody else
  }
  const about = await persistently(api.about);
  api.belongTo(about.queue);
  const proposals = new Proposals(about);
  const tellKeys = () => fillHelp((key) => proposals.helpOf(key));
  setText(byId("audit-name"), about.audit);
  document.title = `Review – ${about.audit}`;
  let reviewer = await firstName(session.reviewer);
  setText(byId("who-name"), reviewer);

  const client = await claimed;
  const clock = new Clock();
  const progress = new Progress(about);
  let review = null;
  const outbox = new Outbox(client, about.queue ?? `${about.audit}#${about.draw_id}`, (news) => heard(news));
  const parts = { client, outbox, clock, reviewer: () => reviewer, pictures: about.crops };
  const deck = new Deck(parts, (news) => heard(news || {}));
  const every = new EveryMask(about);
  const act = (name, detail) => review.act(name, detail);
  const views = { every, single: new Single(proposals, every), grid: new Grid(act, proposals), editor: new Editor(about), looked: new Looked(every), picker: new Picker(about), bulk: new Bulk(), guide: new Guide(about), noteDialog: new NoteDialog(about) };
  const applyFilter = (filter) => review.filter(filter);
  const filters = new Filters(about, applyFilter, () => review.act("bulk"));
  const picturePanel = new PicturePanel({
    maskNow: () => deck.current?.card.mask_id ?? null, reload: () => review.reloadPictures(), redraw: () => views.editor.canvas.draw(),
  });
  const ending = new Ending({ progress, outbox, reviewer: () => reviewer });
  new KeyDialog(tellKeys);
  tellKeys();
  review = new Review({ about, ending, reviewer: () => reviewer, picturePanel, askWho, clock, deck, outbox, progress, filters, show, proposals, decisions: new Decisions(parts), ...views });

  async function askWho() {
    const before = document.body.dataset.view;
    review.busy = true;
    show("entry");
    const name = await askName(reviewer, true);
    review.busy = false;
    if (!signingIn) show(before);
    if (name && name !== reviewer) {
      rememberName(name);
      reviewer = name;
      setText(byId("who-name"), reviewer);
      review.newPerson();
    } else if (!signingIn) review.refresh();
  }

  function heard(news) {
    progress.update({ progress: news.progress, records: outbox.records });
    if ("waiting" in news) showSaved(news);
    document.body.dataset.ahead = String(deck.entries.filter((entry) => entry.ready).length);
    if (news.waiting === 0 && review) deck.saved();
    if (news.refused && news.refused.length) review.refused(news.refused);
    if (news.returned) toast("You were away for long, so these masks went back. Here they are anew.");
    if (news.gone) toast("This mask was assigned to another reviewer because it was open for too long.");
    if (news.elsewhere && !deck.stopped) {
      deck.stop(news.elsewhere);
      outbox.stop();
    }
    if (news.mustSignIn) signIn().then(() => { outbox.hurry(); deck.again(); });
    else if (review && !signingIn) review.refresh(news);
  }

  await outbox.open();
  await outbox.settled(SEND_FIRST_MS); // what was decided before a reload must not be asked again
  for (const id of ["mode", "who"]) byId(id).hidden = false;
  listen(() => document.body.dataset.view, (name, event) => review.act(name, event));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-act]");
    if (button) review.act(button.dataset.act, event);
  });
  addEventListener("resize", () => review.resized());
  addEventListener("pagehide", () => { outbox.farewell(); deck.farewell(); });
  addEventListener("pageshow", (event) => { if (event.persisted) deck.reset(); });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) outbox.farewell();
    else { deck.beat(); outbox.adopt().then(() => outbox.hurry()); }
  });
  review.open();
  filters.showLinked(location.hash, applyFilter);
  announce(`${about.audit}: ${about.total} masks.`);
}

start().catch((error) => {
  toast(`The page cannot go on: ${error.message}`, "wrong");
  throw error;
});
