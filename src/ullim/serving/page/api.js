// Everything the page asks of the service: `v1/…`, relative to where the page itself lies.

const TOKEN = "ullim-token";
const MAX_WAITS = 3;

/** What the service answered instead of a result; `code` and `detail` are the service's own. */
export class ApiError extends Error {
  constructor({ status = 0, code = "unreachable", title = "", detail = "", retryAfterS = null }) {
    super(detail || title || code);
    Object.assign(this, { status, code, title, detail, retryAfterS });
  }
}

let askForToken = async () => null;

/** Say who asks the person for an access token: a function returning it, or null. */
export function onTokenNeeded(ask) {
  askForToken = ask;
}

/** Return the token of this tab, or null. */
export function storedToken() {
  try {
    return sessionStorage.getItem(TOKEN);
  } catch {
    return null;
  }
}

function storeToken(token) {
  try {
    sessionStorage.setItem(TOKEN, token);
  } catch {
    // A browser that forbids storage asks again on the next call.
  }
}

/** Return `{default, models}`. */
export function listModels() {
  return call("v1/models");
}

/** Return one model with its card. */
export function showModel(name) {
  return call(`v1/models/${encodeURIComponent(name)}`);
}

/**
 * Ask about one recording.
 *
 * @param {Blob} blob The recording.
 * @param {Object} asked `name` of the file, `model`, `labels` (null for all), `lang`, `include`.
 * @param {(seconds: number) => void} onWait The service is busy and will be asked again.
 * @returns {Promise<Object>} The first of `predictions`, with the `model` that answered.
 */
export async function predict(blob, { name, model, labels, lang, include, signal }, onWait) {
  const form = new FormData();
  form.append("files", blob, name);
  if (model) form.append("model", model);
  if (labels) form.append("labels", labels.join(","));
  form.append("include", include.join(","));
  form.append("lang", lang);
  const answer = await call("v1/predict", { method: "POST", body: form, signal }, onWait);
  const [prediction] = answer.predictions;
  return { ...prediction, model: answer.model ?? model };
}

/** Return the address of the WebSocket. */
export function streamAddress() {
  const url = new URL("v1/stream", document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

async function call(path, options = {}, onWait = () => {}) {
  for (let waits = 0; ; ) {
    try {
      return await once(path, options);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) {
        const token = await askForToken();
        if (!token) throw error;
        storeToken(token);
      } else if ((error.status === 429 || error.status === 503) && error.retryAfterS !== null && waits < MAX_WAITS) {
        waits += 1;
        onWait(error.retryAfterS);
        await pause(error.retryAfterS * 1000, options.signal);
      } else {
        throw error;
      }
    }
  }
}

async function once(path, options) {
  const token = storedToken();
  const headers = { Accept: "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({});
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  const wait = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  throw new ApiError({
    status: response.status,
    code: body?.code ?? "bad_answer",
    title: body?.title ?? response.statusText,
    detail: typeof body?.detail === "string" ? body.detail : "",
    retryAfterS: Number.isFinite(wait) ? Math.min(Math.max(wait, 0.2), 60) : null,
  });
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}
