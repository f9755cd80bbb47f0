// Every request that the page makes. Nothing else calls fetch.

const PATIENCE_MS = 20000;

export class ApiError extends Error {
  // Status 0 is no answer at all. `ours`: our own server says why. Anything may stand between the
  // page and it and answer in its place; what such a thing says counts for nothing.
  constructor(status, message, ours = false) {
    super(message);
    Object.assign(this, { status, ours });
  }

  get away() {
    return !this.ours || this.status >= 500 || this.status === 429 || this.status === 408;
  }

  get mustSignIn() {
    return this.ours && this.status === 401;
  }

  // Why the server is not the one that this page was opened on: it shows another queue, or the audit
  // was made anew. Empty where it is.
  get elsewhere() {
    return this.ours && this.status === 409 ? this.message : "";
  }

  // What the server itself says is wrong with its files; empty where nothing is.
  get trouble() {
    return this.ours && this.status === 503 ? this.message : "";
  }

  // The request itself is to blame: sending it again cannot help.
  get unfit() {
    return this.ours && (this.status === 400 || this.status === 413);
  }
}

async function ask(path, options, patience = PATIENCE_MS) {
  const timer = new AbortController();
  const alarm = setTimeout(() => timer.abort(), patience);
  try {
    const answer = await fetch(path, { credentials: "same-origin", signal: timer.signal, ...options });
    if (answer.ok) return answer;
    throw await reasonOf(answer);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(0, "The server does not answer.");
  } finally {
    clearTimeout(alarm);
  }
}

async function reasonOf(answer) {
  const said = await answer.json().catch(() => null);
  if (typeof said?.error === "string") return new ApiError(answer.status, said.error, true);
  return new ApiError(answer.status, `Something else answers in the server's place (${answer.status}).`);
}

// A body that breaks off half way is no answer either.
async function read(answer, as) {
  try {
    return await answer[as]();
  } catch {
    throw new ApiError(0, "The server's answer broke off.");
  }
}

async function get(path) {
  return read(await ask(path, {}), "json");
}

async function post(path, body, { keepalive = false, patience = PATIENCE_MS } = {}) {
  const options = {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), keepalive,
  };
  return read(await ask(path, options, patience), "json");
}

let queue; // what the page was opened with; the server refuses what is meant for another one

export function belongTo(name) {
  queue = name;
}

const id = (value) => encodeURIComponent(value);

export const session = () => get("/api/session");
export const signIn = (token) => post("/api/session", { token });
export const about = () => get("/api/about");
export const next = (wish) => post("/api/next", { ...wish, queue });
// Of a page that is being closed: a beacon outlives it. `keep` are items with decisions on their way.
export function leave(client, keep) {
  const body = { client, items: [], keep, leave: true, queue };
  const packed = new Blob([JSON.stringify(body)], { type: "application/json" });
  if (!navigator.sendBeacon?.("/api/release", packed)) post("/api/release", body, { keepalive: true }).catch(() => {});
}

export const release = (client, items) => post("/api/release", { client, items, queue }, { keepalive: true });
export const alive = (body) => post("/api/alive", { ...body, queue });
export const last = (reviewer) => post("/api/last", { reviewer, queue });
export const end = (reviewer) => post("/api/end", { reviewer, queue });
export const send = (batch, keepalive) => post("/api/events", { ...batch, queue }, { keepalive });
export const mask = (maskId) => get(`/api/mask/${id(maskId)}`);
export const image = (imageId) => get(`/api/image/${id(imageId)}`);
export const levels = (maskId) => get(`/api/levels/${id(maskId)}`);
export const segment = (prompt) => post("/api/segment", { ...prompt, queue }, { patience: 120000 });
export const previewBulk = (wish) => post("/api/bulk/preview", { ...wish, queue });
export const decideBulk = (wish) => post("/api/bulk", { ...wish, queue }, { patience: 120000 });
export const undoBulk = (number, reviewer) => post("/api/bulk/undo", { number, reviewer, queue }, { patience: 120000 });
export const guidelines = () => get("/api/guidelines");
export const redraw = (maskId) => post("/api/redraw", { mask_id: maskId, queue }, { patience: 120000 });
export const pictureUrl = (maskId, view) => `/api/picture/${id(maskId)}?view=${view}`;

// The same picture at another zoom; keeps what the server put into the address to have it cached.
export const otherView = (url, view) => url.replace(/view=\w+/, `view=${view}`);

// Returns a blob: a failed picture then tells why, which an <img> would not.
export async function picture(url) {
  return read(await ask(url, {}, 60000), "blob");
}
