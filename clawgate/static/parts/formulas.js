// @ts-check
/**
 * The formulas within a text that is still being written: each is drawn by the gateway as soon as it is closed. A drawn
 * formula is not as wide as its source, so what has been written behind it would move when its paragraph is finished.
 */

const MAX_KNOWN = 1000; // of a message; a further one is drawn with its paragraph

/**
 * @param {HTMLElement} root
 * @param {(source: string) => Promise<string>} render
 * @param {(task: () => void) => void} later
 * @returns {(source: string) => Node | null} a copy of the drawn formula; null where it is not there yet, or never will
 */
export function mountFormulas(root, render, later) {
  /** @type {Map<string, Element | null>} */
  const known = new Map();
  /** Those that are drawn, and not yet shown. @type {Set<string>} */
  const fresh = new Set();

  /** @param {string} source */
  async function draw(source) {
    try {
      const html = await render(source);
      later(() => take(source, html));
    } catch {
      // its source stays
    }
  }

  /** @param {string} source @param {string} html */
  function take(source, html) {
    const parsed = document.createElement("template");
    parsed.innerHTML = html;
    const drawn = parsed.content.querySelector("p > .math");
    if (!drawn?.firstElementChild || drawn.localName === "code") return;
    drawn.firstElementChild.setAttribute("dir", "ltr");
    known.set(source, drawn);
    if (!fresh.size) later(place);
    fresh.add(source);
  }

  /** Show those that have been drawn, in one look at the message: one for each would take the square of their number. */
  function place() {
    for (const each of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("code[data-formula]"))) {
      const { formula = "" } = each.dataset;
      const drawn = fresh.has(formula) && known.get(formula);
      if (drawn) each.replaceWith(drawn.cloneNode(true));
    }
    fresh.clear();
  }

  return (source) => {
    if (!known.has(source) && known.size < MAX_KNOWN) {
      known.set(source, null);
      draw(source);
    }
    return known.get(source)?.cloneNode(true) ?? null;
  };
}
