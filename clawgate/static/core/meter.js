// @ts-check
/** How fast an answer was, and how much of the model's context its conversation takes: pure. */

/**
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./message.js").Context} Context
 */

/** From this part on, the reader is warned: the next questions will push the first ones out. */
const WARNED = 0.8;
const MIN_WRITTEN_MS = 500; // less is no measure of a speed

/** Tokens of one character, for text whose tokens nobody has counted: a Chinese one, another one. */
const [HAN, OTHER] = [0.65, 0.25];
const IS_HAN = /[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]/g;

/** @param {string} text @returns {number} about as many tokens as models make of it */
export function tokensAbout(text) {
  const han = text.match(IS_HAN)?.length ?? 0;
  return han * HAN + (text.length - han) * OTHER;
}

/**
 * Tell how fast an answer came. Ollama counts those that end by themselves; for one that was cut off, our own clock and
 * the length of its text have to do.
 * @param {Message} message
 * @returns {{perSecond: number, seconds: number, isAbout: boolean} | null}
 */
export function speedOf({ stats, content, thinking, writtenMs }) {
  if (stats?.eval_count) {
    const perSecond = stats.eval_count / ((stats.eval_duration || 1) / 1e9);
    return { perSecond, seconds: (stats.total_duration ?? stats.eval_duration ?? 0) / 1e9, isAbout: false };
  }
  if (writtenMs < MIN_WRITTEN_MS) return null;
  const seconds = writtenMs / 1000;
  return { perSecond: tokensAbout(content + thinking) / seconds, seconds, isAbout: true };
}

/**
 * Tell how full the context was when last somebody counted.
 * @param {readonly Message[]} messages
 * @returns {{used: number, size: number, percent: number, isWarned: boolean} | null}
 */
export function contextOf(messages) {
  const counted = messages.findLast((each) => each.stats?.context)?.stats;
  if (!counted?.context || !(counted.context.size > 0)) return null;
  const { used, size } = counted.context;
  const part = counted.context_full ? 1 : Math.min(used / size, 1);
  return { used, size, percent: Math.floor(part * 100), isWarned: part >= WARNED };
}
