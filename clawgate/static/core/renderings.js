// @ts-check
/**
 * The queue of texts that the gateway is to render: pure. Texts that wait go together in the next request, up to what the
 * gateway takes, two requests at a time; the newest message comes first. A request that fails is made again later, and
 * one that is refused is cut in two until the text that is to blame is alone. No text is asked for twice.
 */

const AT_ONCE = 2; // as many as the gateway takes, so that a page with a long history is not refused for itself
const MAX_TEXTS = 256;
/** The bytes of Markdown that the gateway takes in a request. */
export const MAX_BYTES = 256 << 10;
/**
 * How long after the last request the next one is made, for what streams: it is shown already, and each request has its
 * cost. A formula changes the width of its line.
 */
export const PATIENT_MS = { unit: 1000, formula: 250 };
const REST_MS = [1000, 30_000]; // after a failure, doubled up to that

/**
 * @typedef {object} Job
 * @property {string} text
 * @property {number} bytes
 * @property {string} definitions
 * @property {number} order
 * @property {number} patientMs
 * @property {number} most texts that may go with it
 * @property {() => boolean} isWanted
 * @property {(html: string) => void} resolve
 * @property {(error: unknown) => void} reject
 *
 * @typedef {object} Wanted how a text is to be rendered
 * @property {string} [definitions] Markdown that defines what the text uses; it shows nothing
 * @property {number} [order] texts with a greater one come first
 * @property {number} [patientMs] how long after the last request it may wait for more to come
 * @property {() => boolean} [isWanted] false: nobody waits for it any more, and it is not asked for
 */

const encoder = new TextEncoder();

/** @param {string} text */
export const bytesOf = (text) => encoder.encode(text).length;

/**
 * @param {(texts: string[], definitions: string) => Promise<string[]>} send gives the HTML of each
 * @param {(error: unknown, tries: number) => number} restMs how long a failed request is left alone; 0: it is refused
 */
export function createRenderings(send, restMs = () => 0) {
  /** @type {Job[]} */
  let waiting = [];
  let inFlight = 0;
  let failures = 0;
  let sentAt = -Infinity;
  let restsUntil = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  /** Take the jobs of the next request. */
  function next() {
    waiting.sort((one, other) => other.order - one.order);
    const first = /** @type {Job} */ (waiting[0]);
    /** @type {Job[]} */
    const batch = [];
    let room = MAX_BYTES - bytesOf(first.definitions);
    let most = Math.min(MAX_TEXTS, first.most);
    waiting = waiting.filter((job) => {
      const isTaken = job.definitions === first.definitions && batch.length < Math.min(most, job.most) && job.bytes <= room;
      if (!isTaken && job !== first) return true;
      room -= job.bytes;
      most = Math.min(most, job.most);
      batch.push(job);
      return false;
    });
    return batch;
  }

  function pump() {
    clearTimeout(timer);
    if (inFlight >= AT_ONCE) return;
    for (const job of waiting) if (!job.isWanted()) job.reject(new Error("not wanted any more"));
    waiting = waiting.filter((job) => job.isWanted());
    if (!waiting.length) return;
    const now = Date.now();
    const due = Math.max(restsUntil, sentAt + waiting.reduce((least, job) => Math.min(least, job.patientMs), Infinity));
    if (due > now) {
      timer = setTimeout(pump, due - now);
      return;
    }
    sentAt = now;
    request(next());
    pump();
  }

  /** @param {Job[]} batch */
  async function request(batch) {
    inFlight += 1;
    try {
      const htmls = await send(batch.map((job) => job.text), batch[0]?.definitions ?? "");
      failures = 0;
      batch.forEach((job, index) => job.resolve(htmls[index] ?? ""));
    } catch (error) {
      failures += 1;
      const rest = restMs(error, failures);
      restsUntil = Math.max(restsUntil, rest && Date.now() + rest);
      if (rest === 0 && batch.length === 1) batch[0]?.reject(error);
      else waiting.push(...batch.map((job) => ({ ...job, patientMs: 0, most: rest ? job.most : Math.ceil(batch.length / 2) })));
    }
    inFlight -= 1;
    pump();
  }

  /**
   * Render a text.
   * @param {string} text Markdown
   * @param {Wanted} [wanted]
   * @returns {Promise<string>} sanitised HTML
   */
  return (text, { definitions = "", order = 0, patientMs = 0, isWanted = () => true } = {}) =>
    new Promise((resolve, reject) => {
      waiting.push({ text, bytes: bytesOf(text), definitions, order, patientMs, most: MAX_TEXTS, isWanted, resolve, reject });
      clearTimeout(timer);
      timer = setTimeout(pump, 0);
    });
}

/** @typedef {ReturnType<typeof createRenderings>} Render */

/**
 * Return the wait after a request that failed for its own reasons: short at first, then longer, and never the same twice,
 * so that pages that failed together do not come together again.
 * @param {number} tries
 */
export const retryMs = (tries) => Math.min((REST_MS[0] ?? 0) * 2 ** (tries - 1), REST_MS[1] ?? 0) * (0.5 + Math.random());
