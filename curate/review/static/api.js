// Every request that the page makes. Nothing else calls fetch.

const PATIENCE_MS = 20000;

export class ApiError extends Error {
  // status 0: no answer at all, the server or the network is away.
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  get away() {
    return this.status === 0 || this.status >= 500 || this.status === 429 || this.status === 408;
  }

  get mustSignIn() {
    return this.status === 401;
  }
}

async function ask(path, options, patience = PATIENCE_MS) {
  const timer = new AbortController();
  const alarm = setTimeout(() => timer.abort(), patience);
  try {
    const answer = await fetch(path, { credentials: "same-origin", signal: timer.signal, ...options });
    if (answer.ok) return answer;
    throw new ApiError(answer.status, await sentence(answer));
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(0, "The server does not answer.");
  } finally {
    clearTimeout(alarm);
  }
}

async function sentence(answer) {
  try {
    return String((await answer.json()).error);
  } catch {
    return `The server answered ${answer.status}.`;
  }
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

const id = (value) => encodeURIComponent(value);

export const session = () => get("/api/session");
export const signIn = (token) => post("/api/session", { token });
export const about = () => get("/api/about");
export const next = (wish) => post("/api/next", wish);
export const release = (client, items) => post("/api/release", { client, items }, { keepalive: true });
export const send = (batch, keepalive) => post("/api/events", batch, { keepalive });
export const mask = (maskId) => get(`/api/mask/${id(maskId)}`);
export const image = (imageId) => get(`/api/image/${id(imageId)}`);
export const segment = (prompt) => post("/api/segment", prompt, { patience: 120000 });
export const pictureUrl = (maskId, view) => `/api/picture/${id(maskId)}?view=${view}`;

// The same picture at another zoom; keeps what the server put into the address to have it cached.
export const otherView = (url, view) => url.replace(/view=\w+/, `view=${view}`);

// Returns a blob: a failed picture then tells why, which an <img> would not.
export async function picture(url) {
  return read(await ask(url, {}, 60000), "blob");
}
