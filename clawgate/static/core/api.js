// @ts-check
/** The gateway as functions: the only file that calls fetch. Failures are ApiErrors with the gateway's own code. */

import { createRenderings, retryMs } from "./renderings.js";
import { createParser } from "./sse.js";

/**
 * @typedef {{role: string, content: string, thinking?: string, interrupted?: boolean, refused?: boolean}} WireMessage
 * @typedef {{session_id: string, messages: WireMessage[], streaming: boolean, run_id: string | null}} SessionView
 * @typedef {{reachable: boolean, version: string | null, model_ready: boolean}} Upstream
 * @typedef {{model: string, upstream: Upstream, streams: number, max_streams: number, version: string}} Status
 */

const FIRST_WAIT_MS = 100;

/**
 * A request that failed. `code` is the gateway's, "network" where nothing answered, or "sign_in" where a proxy in front
 * answered in the gateway's place, because it wants its reader to sign in.
 */
export class ApiError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {number} status
   * @param {number} retryAfterMs when the gateway wants to be asked again, 0 where it does not say
   */
  constructor(code, message, status = 0, retryAfterMs = 0) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
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
 */
export function createApi(base, token) {
  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @param {RequestInit} [options]
   * @param {string} [accept]
   */
  async function ask(method, path, body, options, accept) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (accept) headers["Accept"] = accept;
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
    if (isSignIn(response, accept)) throw new ApiError("sign_in", `HTTP ${response.status}`, response.status);
    if (!response.ok) throw await failureOf(response);
    return response;
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
      const response = await ask("POST", "api/chat", order, { signal });
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
      return (await ask("POST", "api/interrupt", { session_id: sessionId, run_id: runId })).json();
    },

    /**
     * @param {string} sessionId
     * @returns {Promise<SessionView>}
     */
    async session(sessionId) {
      return (await ask("GET", `api/sessions/${sessionId}`)).json();
    },

    /**
     * @param {string} sessionId
     * @returns {Promise<void>}
     */
    async forget(sessionId) {
      await ask("DELETE", `api/sessions/${sessionId}`, undefined, { keepalive: true });
    },

    /** @returns {Promise<Status>} */
    async status() {
      return (await ask("GET", "api/status")).json();
    },

    render: createRenderings(renderAll, restMs),

    /**
     * @param {string} path
     * @returns {Promise<string>} the text of another page of the gateway
     */
    async text(path) {
      return (await ask("GET", path, undefined, {}, "text/html")).text();
    },
  };
}

/** @typedef {ReturnType<typeof createApi>} Api */

/**
 * Tell whether a proxy in front answers with its sign-in: by a redirect to it, or by its page.
 * @param {Response} response
 * @param {string} [accept]
 */
function isSignIn(response, accept) {
  if (response.type === "opaqueredirect") return true;
  return response.ok && !accept && (response.headers.get("Content-Type") ?? "").startsWith("text/html");
}

const CHALLENGE = 'Bearer realm="clawgate"'; // a proxy's own realm may have the same name
const REFUSED = [401, 403];

/**
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
async function failureOf(response) {
  if (response.headers.get("WWW-Authenticate")?.includes(CHALLENGE)) {
    return new ApiError("unauthorized", "", response.status);
  }
  try {
    const { error } = await response.json();
    if (typeof error.code !== "string") throw new TypeError("not the gateway's");
    const retryAfterMs = 1000 * Number(response.headers.get("Retry-After"));
    return new ApiError(error.code, String(error.message), response.status, retryAfterMs);
  } catch {
    // no JSON of the gateway's: a proxy's page, when the gateway is down or the proxy refuses
    if (REFUSED.includes(response.status)) return new ApiError("sign_in", `HTTP ${response.status}`, response.status);
    const code = response.status === 502 || response.status === 504 ? "network" : "internal";
    return new ApiError(code, `HTTP ${response.status}`, response.status);
  }
}
