// @ts-check
/** The gateway's own address as this browser sees it, below a proxy's path or not. */

/**
 * The page's folder. It is absolute: where a page was opened as http://user:password@…, browsers refuse to fetch a
 * relative address, because the password would be in it.
 */
export const home = new URL(document.body.dataset.base ?? "/", location.origin + location.pathname);

/** The folder of the static files. */
export const files = new URL(document.body.dataset.static ?? "static/", home).href;
