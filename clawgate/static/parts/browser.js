// @ts-check
/** What the page keeps in this browser, and what it asks of it: storage, cookies, clipboard, the token dialog. */

/**
 * Find the element with a hook; the templates have it.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} name
 * @returns {T}
 */
export function hook(root, name) {
  const found = root.querySelector(`[data-${name}]`);
  if (!found) throw new Error(`the page has no [data-${name}]`);
  return /** @type {T} */ (found);
}

/**
 * A value in this browser's storage; where there is none (private mode, full), it lasts as long as the page.
 * @param {string} key
 */
export function kept(key) {
  /** @type {string | null} */
  let own = null;
  return {
    /** @returns {string | null} */
    get() {
      try {
        return localStorage.getItem(key) ?? own;
      } catch {
        return own;
      }
    },
    /** @param {string | null} value */
    set(value) {
      own = value;
      try {
        if (value === null) localStorage.removeItem(key);
        else localStorage.setItem(key, value);
      } catch {
        own = value; // full or forbidden: `own` has to do
      }
    },
  };
}

/**
 * Keep a choice where the server sees it, so that the next page is right from its first paint.
 * @param {string} name
 * @param {string} value
 */
export function keepChoice(name, value) {
  document.cookie = `clawgate_${name}=${value}; path=/; max-age=31536000; SameSite=Lax`;
}

/** Let the appearance follow its switch. */
export function mountTheme() {
  const choice = /** @type {HTMLSelectElement} */ (hook(document, "theme-choice"));
  choice.addEventListener("change", () => {
    document.documentElement.dataset.theme = choice.value;
    keepChoice("theme", choice.value);
  });
}

/**
 * Copy a text; also on a plain-http origin, where there is no navigator.clipboard.
 * @param {string} text
 * @returns {Promise<boolean>}
 */
export async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // not allowed: the old way may be
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
 * Ask for the token and keep it.
 * @param {ReturnType<typeof kept>} store
 * @param {() => void} onSaved
 * @returns {(isWrong: boolean) => void} opens the dialog
 */
export function mountToken(store, onSaved) {
  const dialog = /** @type {HTMLDialogElement} */ (hook(document, "token"));
  const input = /** @type {HTMLInputElement} */ (hook(dialog, "token-input"));
  hook(dialog, "token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    store.set(input.value.trim());
    input.value = "";
    dialog.close();
    onSaved();
  });
  return (isWrong) => {
    hook(dialog, "token-wrong").hidden = !isWrong;
    if (!dialog.open) dialog.showModal();
  };
}
