// @ts-check
/** Texts into the clipboard, and the buttons that copy them. */

const COPIED_MS = 2000;

/**
 * Copy a text; also on a plain-http origin, where there is no navigator.clipboard.
 * @param {string} text
 * @returns {Promise<boolean>}
 */
async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // not allowed; the old way may be
    }
  }
  const before = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  area.setAttribute("readonly", "");
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (before instanceof HTMLElement) before.focus({ preventScroll: true });
  return isCopied;
}

/**
 * Copy a text, and say for a moment on the button whether that went well.
 * @param {HTMLElement} button
 * @param {string} text
 * @param {() => import("./words.js").Dictionary} words
 */
export async function copyWith(button, text, words) {
  const isCopied = await copy(text);
  button.textContent = words()[isCopied ? "copied" : "copy.failed"] ?? "";
  button.dataset.copied = isCopied ? "yes" : "no";
  setTimeout(() => {
    button.textContent = words()["copy"] ?? "";
    delete button.dataset.copied;
  }, COPIED_MS);
}
