// Which tab this is. Leases belong to it, also after a reload; but a duplicated tab takes a copy of
// everything along, so a name that another tab answers to is not taken.

import { uuid } from "/static/dom.js";

const KEY = "curate-client";
const PATIENCE_MS = 400; // a tab that was just reloaded lets go of its name a moment later

function remembered() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function remember(name) {
  try {
    sessionStorage.setItem(KEY, name);
  } catch {
    // the next reload then makes a new one, and these leases run out
  }
  return name;
}

// Whether the name is ours now, for as long as the page lives.
function locked(name) {
  const abort = new AbortController();
  const alarm = setTimeout(() => abort.abort(), PATIENCE_MS);
  return new Promise((resolve) => {
    navigator.locks.request(KEY + name, { signal: abort.signal }, () => {
      clearTimeout(alarm);
      resolve(true);
      return new Promise(() => {});
    }).catch(() => resolve(false));
  });
}

// Browsers have locks on https and localhost only; elsewhere tabs ask each other aloud.
function spoken(name) {
  const channel = new BroadcastChannel(KEY);
  const own = uuid();
  let ours = false;
  return new Promise((resolve) => {
    channel.onmessage = ({ data }) => {
      if (data.name !== name) return;
      if (data.asks && (ours || own < data.asks)) channel.postMessage({ name, taken: data.asks });
      if (data.taken === own && !ours) resolve(false);
    };
    channel.postMessage({ name, asks: own });
    setTimeout(() => resolve(true), PATIENCE_MS);
  }).then((free) => {
    ours = free;
    if (!free) channel.close();
    return free;
  });
}

export async function claimClient() {
  const claim = navigator.locks ? locked : spoken;
  const known = remembered();
  if (known && await claim(known)) return known;
  const name = remember(uuid());
  claim(name);
  return name;
}
