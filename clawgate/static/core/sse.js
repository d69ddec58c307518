// @ts-check
/**
 * The stream parser: bytes in, events out. Pure; api.js feeds it, tests/page cuts its input at every byte.
 * Source: WHATWG HTML, 9.2 "Server-sent events".
 */

/**
 * @typedef {{id: string, event: string, data: string}} RawEvent
 */

/**
 * Make a parser for one stream. It owns the one TextDecoder, so a character cut between two chunks is put together.
 * @returns {{feed: (bytes: Uint8Array) => RawEvent[]}}
 */
export function createParser() {
  const decoder = new TextDecoder("utf-8");
  let line = "";
  let endsInCr = false;
  let id = "";
  let event = "";
  /** @type {string[]} */
  let data = [];

  /**
   * @param {string} text one whole line, without its end
   * @param {RawEvent[]} events
   */
  function take(text, events) {
    if (text === "") {
      if (data.length > 0) events.push({ id, event: event || "message", data: data.join("\n") });
      event = "";
      data = [];
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? text : text.slice(0, colon);
    let value = colon < 0 ? "" : text.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") data.push(value);
    else if (field === "event") event = value;
    else if (field === "id" && !value.includes("\0")) id = value;
  }

  return {
    feed(bytes) {
      /** @type {RawEvent[]} */
      const events = [];
      let text = decoder.decode(bytes, { stream: true });
      if (endsInCr && text.startsWith("\n")) text = text.slice(1);
      if (text !== "") endsInCr = text.endsWith("\r");
      const lines = (line + text).split(/\r\n|\n|\r/);
      line = lines.pop() ?? "";
      for (const whole of lines) take(whole, events);
      return events;
    },
  };
}
