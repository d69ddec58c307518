// @ts-check
/** Files as parts of a message: pictures of a size that models and the gateway take, texts as fenced blocks. Pure. */

/** More pixels tell models nothing: they scale a picture down themselves. */
export const MAX_SIDE_PX = 1568;
export const MAX_PICTURES = 8;
/** Longer files hardly fit a context, and fill a session. */
export const MAX_TEXT_BYTES = 256 * 1024;

/** The languages of fenced blocks, by the end of a file's name; other ends are their own language, where they are words. */
const LANGUAGES = Object.freeze(
  /** @type {Record<string, string>} */ ({
    bash: "bash", bat: "batch", cc: "cpp", cjs: "javascript", cpp: "cpp", cs: "csharp", cxx: "cpp", h: "c", hpp: "cpp",
    htm: "html", js: "javascript", jsx: "jsx", kt: "kotlin", log: "", md: "markdown", mjs: "javascript", ps1: "powershell",
    py: "python", pyi: "python", rb: "ruby", rs: "rust", sh: "bash", svg: "xml", text: "", ts: "typescript", tsx: "tsx", txt: "",
    yml: "yaml", zsh: "bash",
  }),
);

/**
 * Tell how large a picture is to be.
 * @param {number} width
 * @param {number} height
 * @param {number} [most] of the longer side
 */
export function scaled(width, height, most = MAX_SIDE_PX) {
  const part = Math.min(1, most / Math.max(width, height, 1));
  return { width: Math.max(1, Math.round(width * part)), height: Math.max(1, Math.round(height * part)) };
}

/** @param {string} name of a file @returns {string} */
export function languageOf(name) {
  const end = /\.([A-Za-z0-9_+-]{1,16})$/.exec(name)?.[1]?.toLowerCase() ?? "";
  return Object.hasOwn(LANGUAGES, end) ? (LANGUAGES[end] ?? "") : end;
}

/**
 * Make a fenced block of a file; its fence is longer than any inside.
 * @param {string} name
 * @param {string} text
 */
export function fenced(name, text) {
  const longest = Math.max(2, ...[...text.matchAll(/`{3,}/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  const body = text.replace(/\r\n?/g, "\n").replace(/\n*$/, "");
  return `${name.replace(/\s+/g, " ")}\n${fence}${languageOf(name)}\n${body}\n${fence}\n`;
}

const CONTROLS = /[\0-\x08\x0e-\x1a\x1c-\x1f]/; // but blanks, and the escape that colours a log

/**
 * Read a file's bytes as text: UTF-8, UTF-16 with its mark, or the Chinese encodings.
 * @param {Uint8Array} bytes
 * @returns {string | null} null where they are no text
 */
export function textOf(bytes) {
  const isWide = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  for (const encoding of isWide ? [bytes[0] === 0xff ? "utf-16le" : "utf-16be"] : ["utf-8", "gb18030"]) {
    try {
      const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
      if (!CONTROLS.test(text)) return text;
    } catch {
      // another encoding, or none
    }
  }
  return null;
}

/** The first characters of pictures in base64, and their types. */
const KINDS = /** @type {const} */ ([["iVBOR", "image/png"], ["UklGR", "image/webp"], ["R0lGOD", "image/gif"]]);

/** @param {string} data a picture as base64 @returns {string} its address for an <img> */
export const addressOf = (data) =>
  `data:${KINDS.find(([start]) => data.startsWith(start))?.[1] ?? "image/jpeg"};base64,${data}`;

/**
 * Leave out the oldest pictures of a conversation, as the gateway does, where all of them are more than a request takes.
 * @template {{images: readonly string[]}} M
 * @param {readonly M[]} messages
 * @param {number} most their length in base64
 * @returns {M[]}
 */
export function withinPictures(messages, most) {
  let left = most;
  return messages
    .slice()
    .reverse()
    .map((each) => {
      left -= each.images.reduce((sum, { length }) => sum + length, 0);
      return left < 0 && each.images.length ? { ...each, images: [] } : each;
    })
    .reverse();
}
