// @ts-check
/** The gateway as functions: the only file that calls fetch. Failures are ApiErrors with the gateway's own code. */

import { ApiError, SMALL_MS, failureOf, standIn, typeOf, within } from "./failing.js";
import { createRenderings, retryMs } from "./renderings.js";
import { createParser } from "./sse.js";

/**
 * @typedef {{role: string, content: string, images?: readonly string[], thinking?: string, interrupted?: boolean,
 *   refused?: boolean}} WireMessage
 * @typedef {{session_id: string, messages: WireMessage[], streaming: boolean, run_id: string | null}} SessionView
 * @typedef {{reachable: boolean, version: string | null, model_ready: boolean, embedded: boolean}} Upstream
 * @typedef {{model: string, models: import("./settings.js").Model[], upstream: Upstream, streams: number, max_streams: number, version: string}} Status
 * @typedef {{at: string, data: any}} StreamEvent at: its id; "" where it has none
 * @typedef {{signal?: AbortSignal, headers?: Record<string, string>, keepalive?: boolean}} Options
 */

const JSON_TYPE = "application/json";
const HTML_TYPE = "text/html";
const STREAM_TYPE = "text/event-stream";
const NO_CONTENT = 204;
const FIRST_WAIT_MS = 100;
const PAGE_MS = 6000; // /setup asks Ollama and nginx first

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
 * Yield the events of a stream.
 * @param {Response} response
 * @returns {AsyncGenerator<StreamEvent>}
 */
async function* eventsOf(response) {
  if (!response.body) throw new ApiError("network", "the answer has no body");
  const reader = response.body.getReader();
  const parser = createParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const event of parser.feed(value)) yield { at: event.id, data: JSON.parse(event.data) };
    }
  } catch (error) {
    throw new ApiError("network", String(error));
  } finally {
    reader.cancel().catch(() => undefined);
  }
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
   * @param {Options} [options]
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
   * @param {Options | undefined} options
   * @param {string} expected
   */
  async function send(method, path, body, options, expected) {
    /** @type {Record<string, string>} */
    const headers = { ...options?.headers };
    if (expected === HTML_TYPE) headers["Accept"] = expected;
    headers["X-Clawgate-Token"] = token() ?? ""; // Authorization may belong to a proxy in front
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(base + path, {
        method,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
        redirect: "manual", // the gateway sends no call elsewhere: a redirect leads to a proxy's sign-in
        ...options,
        headers,
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
     * Ask for an answer. It waits for a reader that was cut off.
     * @param {object} order the body of POST /api/chat
     * @param {string} key the same request under the same key never starts a second answer
     * @param {AbortSignal} signal
     * @returns {AsyncGenerator<StreamEvent>}
     */
    async *chat(order, key, signal) {
      const headers = { "Idempotency-Key": key };
      yield* eventsOf(await ask("POST", "api/chat", { ...order, on_disconnect: "detach" }, { signal, headers }, STREAM_TYPE));
    },

    /**
     * Read a session's answer on.
     * @param {string} sessionId
     * @param {string} place the id of the last event that is there; "": from the answer's beginning
     * @param {AbortSignal} signal
     * @returns {AsyncGenerator<StreamEvent>}
     * @throws {ApiError} "nothing_left", where nothing more comes
     */
    async *follow(sessionId, place, signal) {
      /** @type {Record<string, string>} */
      const headers = place ? { "Last-Event-ID": place } : {};
      const response = await ask("GET", `api/sessions/${sessionId}/stream`, undefined, { signal, headers }, STREAM_TYPE);
      if (response.status === NO_CONTENT) throw new ApiError("nothing_left", "");
      yield* eventsOf(response);
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
