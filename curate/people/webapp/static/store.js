// Where events wait in this browser: IndexedDB, and for a moment localStorage.

export function openStore() {
  return new Promise((resolve) => {
    let request;
    try {
      request = indexedDB.open("curate-review", 1);
    } catch {
      resolve(null); // a private window may have none: events then live as long as the tab
      return;
    }
    request.onupgradeneeded = () => {
      request.result.createObjectStore("events", { keyPath: ["order", "key"] });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(null);
  });
}

export function finished(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

export async function allOf(store) {
  const request = store.transaction("events").objectStore("events").getAll();
  await finished(request.transaction);
  return request.result;
}

// IndexedDB writes a moment later, and a page that is closed in that moment loses it. What is small
// is therefore noted in localStorage first, which is written before the key press has ended.
const NOTE = "curate-review-event-";
const LARGEST_NOTE = 50000;

export function note(record) {
  try {
    const text = JSON.stringify(record);
    if (text.length < LARGEST_NOTE) localStorage.setItem(NOTE + record.key, text);
  } catch {
    // full or forbidden: IndexedDB alone has to do
  }
}

export function unnote(record) {
  try {
    localStorage.removeItem(NOTE + record.key);
  } catch {
    // see above
  }
}

export function noted() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(NOTE)).map((key) => JSON.parse(localStorage.getItem(key)));
  } catch {
    return [];
  }
}
