// @ts-check
/** Requests that fail: in time, by the gateway's own word, or because something else answered in its place. */

export const SMALL_MS = 3000; // what a small request gets, its answer's body included: longer silence is the gateway's

/**
 * A request that failed. `code` is the gateway's, or one of the page's own: "network" where nothing answered, "sign_in"
 * where something in front answered in the gateway's place and wants its reader to sign in, "proxy" where it answered
 * with something else, and `message` is what it said. `words`: what the gateway quotes of Ollama.
 */
export class ApiError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {number} status
   * @param {number} retryAfterMs when the gateway wants to be asked again, 0 where it does not say
   * @param {string} words
   */
  constructor(code, message, status = 0, retryAfterMs = 0, words = "") {
    super(message);
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
    this.words = words;
  }
}

/**
 * Make a signal that gives a request up after a while; `AbortSignal.timeout` is younger than some browsers.
 * @param {number} ms
 * @returns {AbortSignal}
 */
export function within(ms) {
  if (AbortSignal.timeout) return AbortSignal.timeout(ms);
  const abort = new AbortController();
  setTimeout(() => abort.abort(), ms);
  return abort.signal;
}

const CHALLENGE = 'Bearer realm="clawgate"'; // a proxy's own realm may have the same name
const SIGN_INS = [401, 403, 407];
const MAX_TITLE = 100;

/** @param {Response} response */
export const typeOf = (response) => (response.headers.get("Content-Type") ?? "").split(";")[0]?.trim().toLowerCase();

/**
 * Tell what answered well in the gateway's place: a page is as a rule the sign-in of a proxy, or of a hotel's network.
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
export async function standIn(response) {
  return new ApiError(typeOf(response) === "text/html" ? "sign_in" : "proxy", await titleOf(response), response.status);
}

/**
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
export async function failureOf(response) {
  if (response.headers.get("WWW-Authenticate")?.includes(CHALLENGE)) {
    return new ApiError("unauthorized", "", response.status);
  }
  try {
    const { error } = await response.clone().json();
    if (typeof error.code !== "string") throw new TypeError("not the gateway's");
    const retryAfterMs = 1000 * Number(response.headers.get("Retry-After"));
    return new ApiError(error.code, String(error.message), response.status, retryAfterMs, String(error.words ?? ""));
  } catch {
    // no JSON of the gateway's: a proxy's page, when the gateway is down or the proxy refuses
    const code = SIGN_INS.includes(response.status) ? "sign_in" : "proxy";
    return new ApiError(code, await titleOf(response), response.status);
  }
}

/**
 * @param {number} ms
 * @returns {Promise<string>}
 */
const nothingAfter = (ms) => new Promise((resolve) => within(ms).addEventListener("abort", () => resolve("")));

/**
 * Quote what is no answer of the gateway's: its status, and the title of a page.
 * @param {Response} response
 * @returns {Promise<string>}
 */
async function titleOf(response) {
  const status = `HTTP ${response.status}`;
  try {
    const body = await Promise.race([response.text(), nothingAfter(SMALL_MS)]); // a stream may never end
    const found = /<(title|h1)\b[^>]*>([^<]+)/i.exec(body);
    const title = found?.[2]?.replace(/\s+/g, " ").trim().slice(0, MAX_TITLE);
    return title ? `${status}: ${title}` : status;
  } catch {
    return status;
  }
}
