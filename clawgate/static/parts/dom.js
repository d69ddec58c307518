// @ts-check
/** The page's elements: found by their `data-` hooks, written to only where something changes. */

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
 * Hide the first such element, or show it.
 * @param {HTMLElement} root
 * @param {string} selector
 * @param {boolean} isHidden
 */
export function hide(root, selector, isHidden) {
  const found = /** @type {HTMLElement | null} */ (root.querySelector(selector));
  if (found && found.hidden !== isHidden) found.hidden = isHidden;
}

/**
 * @param {HTMLElement} element
 * @param {string} text
 */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
