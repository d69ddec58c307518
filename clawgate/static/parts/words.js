// @ts-check
/** The page's words: fetched as JSON, filled into `data-word` hooks, with {names} put in. */

/** @typedef {Record<string, string>} Dictionary */

/**
 * @param {string} text
 * @param {Record<string, string | number>} values
 */
export const filled = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));

/** @param {number} ms */
export const seconds = (ms) => Math.max(0, Math.round(ms / 1000));

/**
 * @param {string} folder where the static files are
 * @param {string} language
 * @returns {Promise<Dictionary>}
 */
export async function load(folder, language) {
  return (await fetch(`${folder}words.${language}.json`)).json();
}

/**
 * Put the words into everything below a root that names one; templates too.
 * @param {ParentNode} root
 * @param {Dictionary} words
 * @param {Record<string, string>} values
 */
export function fill(root, words, values) {
  const word = (/** @type {string | undefined} */ key) => filled(words[key ?? ""] ?? "", values);
  for (const each of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-word]"))) {
    each.textContent = word(each.dataset.word);
  }
  for (const each of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-word-label]"))) {
    each.setAttribute("aria-label", word(each.dataset.wordLabel));
  }
  for (const each of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-word-placeholder]"))) {
    each.setAttribute("placeholder", word(each.dataset.wordPlaceholder));
  }
  for (const each of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-word-title]"))) {
    each.title = word(each.dataset.wordTitle);
  }
  for (const each of root.querySelectorAll("template")) fill(each.content, words, values);
}
