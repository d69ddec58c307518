// @ts-check
/** The gateway as functions: the only file that calls fetch. Failures are ApiErrors with the gateway's own code. */

import { createRenderings, retryMs } from "./renderings.js";
import { createParser } from "./sse.js";

/**
 * @typedef {{role: string, content: string, images?: readonly string[], thinking?: string, interrupted?: boolean,
 *   refused?: boolean}} WireMessage
 * @typedef {{session_id: string, messages: WireMessage[], streaming: boolean, run_id: string | null}} SessionView
 * @typedef {{reachable: boolean, version: string | null, model_ready: boolean, embedded: boolean}} Upstream
 * @typedef {{model: string, models: import("./settings.js").Model[], upstream: Upstream, streams: number, max_streams: number, version: string}} Status
 */

const FIRST_WAIT_MS = 100;
const SMALL_MS = 3000; // what a small request gets, its answer's body included: longer silence is the gateway's
const PAGE_MS = 6000; // /setup asks Ollama and nginx first

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
function within(ms) {
  if (AbortSignal.timeout) return AbortSignal.timeout(ms);
  const abort = new AbortController();
  setTimeout(() => abort.abort(), ms);
  return abort.signal;
}

/**
 * Return the wait before a text is sent again that found every place to render taken. All pages share two places, and a
 * text holds one for milliseconds: so the first waits are much shorter than the gateway asks for, which readers would
 * see, and double up to that. They are random, so that pages refused together do not come together again.
 * @param {number} tries so far
 * @param {number} retryAfterMs
 */
export function renderWaitMs(tries, retryAfterMs) {
  return Math.min(FIRST_WAIT_MS * 2 ** (tries - 1), retryAfterMs) * (0.5 + Math.random());
}

/** The statuses that a request has earned by what it asks for: the same request will not do better later. */
const IN_VAIN = [400, 413, 422];

/**
 * Return how long texts wait that could not be rendered; 0 where waiting does not help.
 * @param {unknown} error
 * @param {number} tries
 */
function restMs(error, tries) {
  if (!(error instanceof ApiError)) return retryMs(tries); // the answer was no JSON
  if (error.code === "busy") return renderWaitMs(tries, error.retryAfterMs);
  return IN_VAIN.includes(error.status) ? 0 : retryMs(tries);
}

/**
 * Bind the calls to where the page was served from.
 * @param {string} base the page's own folder, "http://localhost:8080/" or "https://a.example/chat/"
 * @param {() => string | null} token what the gateway wants, where it wants one
 * @param {(error: ApiError) => void} [onFailure] told of each request that fails, whoever made it
 */
export function createApi(base, token, onFailure = () => undefined) {
  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @param {RequestInit} [options]
   * @param {string} [expected] the type of the answer
   */
  async function ask(method, path, body, options, expected = JSON_TYPE) {
    try {
      return await send(method, path, body, options, expected);
    } catch (error) {
      if (error instanceof ApiError) onFailure(error);
      throw error;
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} body
   * @param {RequestInit | undefined} options
   * @param {string} expected
   */
  async function send(method, path, body, options, expected) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (expected === HTML_TYPE) headers["Accept"] = expected;
    headers["X-Clawgate-Token"] = token() ?? ""; // Authorization may belong to a proxy in front
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(base + path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
        redirect: "manual", // the gateway sends no call elsewhere: a redirect leads to a proxy's sign-in
        ...options,
      });
    } catch (error) {
      throw new ApiError("network", String(error));
    }
    if (response.type === "opaqueredirect") throw new ApiError("sign_in", "", response.status);
    if (!response.ok) throw await failureOf(response);
    if (response.status !== NO_CONTENT && typeOf(response) !== expected) throw await standIn(response);
    return response;
  }

  /**
   * Ask for something small, and give it up where it does not come in time.
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   */
  async function small(method, path, body) {
    const response = await ask(method, path, body, { signal: within(SMALL_MS) });
    try {
      return await response.json();
    } catch (error) {
      throw new ApiError("network", String(error)); // it broke off
    }
  }

  /**
   * @param {string[]} texts
   * @param {string} definitions
   * @returns {Promise<string[]>}
   */
  async function renderAll(texts, definitions) {
    const body = definitions ? { texts, definitions } : { texts };
    const { htmls } = await (await ask("POST", "render", body)).json();
    if (!Array.isArray(htmls) || htmls.length !== texts.length) throw new ApiError("internal", "not what was asked for");
    return htmls;
  }

  return {
    /**
     * Ask for an answer and yield the data of each event of its stream.
     * @param {object} order the body of POST /api/chat
     * @param {AbortSignal} signal
     * @returns {AsyncGenerator<any>}
     */
    async *chat(order, signal) {
      const response = await ask("POST", "api/chat", order, { signal }, "text/event-stream");
      if (!response.body) throw new ApiError("network", "the answer has no body");
      const reader = response.body.getReader();
      const parser = createParser();
      try {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return;
          for (const event of parser.feed(value)) yield JSON.parse(event.data);
        }
      } catch (error) {
        throw new ApiError("network", String(error));
      } finally {
        reader.cancel().catch(() => undefined);
      }
    },

    /**
     * @param {string} sessionId
     * @param {string} runId
     * @returns {Promise<{interrupted: boolean, partial?: string}>}
     */
    async interrupt(sessionId, runId) {
      return small("POST", "api/interrupt", { session_id: sessionId, run_id: runId });
    },

    /**
     * @param {string} sessionId
     * @returns {Promise<SessionView | null>} null: the gateway does not know it (any more)
     */
    async session(sessionId) {
      try {
        return await small("GET", `api/sessions/${sessionId}`);
      } catch (error) {
        if (error instanceof ApiError && error.code === "unknown_session") return null;
        throw error;
      }
    },

    /**
     * @param {string} sessionId
     * @returns {Promise<void>}
     */
    async forget(sessionId) {
      await ask("DELETE", `api/sessions/${sessionId}`, undefined, { keepalive: true, signal: within(SMALL_MS) });
    },

    /** @returns {Promise<Status>} */
    async status() {
      return small("GET", "api/status");
    },

    render: createRenderings(renderAll, restMs),

    /**
     * @param {string} path
     * @returns {Promise<string>} the text of another page of the gateway
     */
    async text(path) {
      const response = await ask("GET", path, undefined, { signal: within(PAGE_MS) }, HTML_TYPE);
      try {
        return await response.text();
      } catch (error) {
        throw new ApiError("network", String(error));
      }
    },
  };
}

/** @typedef {ReturnType<typeof createApi>} Api */

const CHALLENGE = 'Bearer realm="clawgate"'; // a proxy's own realm may have the same name
const JSON_TYPE = "application/json";
const HTML_TYPE = "text/html";
const NO_CONTENT = 204;
const SIGN_INS = [401, 403, 407];
const MAX_TITLE = 100;

/** @param {Response} response */
const typeOf = (response) => (response.headers.get("Content-Type") ?? "").split(";")[0]?.trim().toLowerCase();

/**
 * Tell what answered well in the gateway's place: a page is as a rule the sign-in of a proxy, or of a hotel's network.
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
async function standIn(response) {
  return new ApiError(typeOf(response) === HTML_TYPE ? "sign_in" : "proxy", await titleOf(response), response.status);
}

/**
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
async function failureOf(response) {
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
