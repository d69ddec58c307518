// @ts-check
/**
 * The page's memory in this browser: values in its storage, and choices as cookies. All of it is the gateway's own: two
 * that a proxy serves under two paths of one host share nothing.
 */

import { home } from "./place.js";

/**
 * Bind a value in this browser's storage; without storage (private mode, full) it lasts as long as the page.
 * @param {string} name
 * @param {() => Storage} storage `sessionStorage` belongs to one window, and outlives a reload
 */
export function kept(name, storage = () => localStorage) {
  const key = `clawgate.${name}:${home.pathname}`;
  /** @type {string | null} */
  let own = null;
  return {
    /** @returns {string | null} */
    get() {
      try {
        return storage().getItem(key) ?? own;
      } catch {
        return own;
      }
    },
    /** @param {string | null} value */
    set(value) {
      own = value;
      try {
        if (value === null) storage().removeItem(key);
        else storage().setItem(key, value);
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
  document.cookie = `clawgate_${name}=${value}; path=${home.pathname}; max-age=31536000; SameSite=Lax`;
}
