// @ts-check
/** The setup page: it fetches itself again, with the token where the gateway wants one, and shows what has changed. */

import { ApiError, createApi } from "../core/api.js";
import { hook } from "../parts/dom.js";
import { home } from "../parts/place.js";
import { keepChoice, kept } from "../parts/storage.js";
import { mountTheme } from "../parts/theme.js";
import { mountToken } from "../parts/token.js";

const RENEW_MS = 3000;
const token = kept("token");
const api = createApi(home.href, token.get);
const askToken = mountToken(token, renew);
let isLocked = document.body.dataset.locked === "yes";
let timer = 0;

async function renew() {
  window.clearTimeout(timer);
  try {
    const fresh = new DOMParser().parseFromString(await api.text("setup"), "text/html");
    if (!fresh.querySelector("[data-main]")) throw new ApiError("sign_in", "another page in its place");
    if (isLocked) hook(document, "main").replaceWith(hook(fresh, "main"));
    else renewHops(fresh);
    isLocked = false;
    showStale("");
  } catch (error) {
    if (error instanceof ApiError && error.code === "unauthorized") {
      askToken(token.get() !== null);
      return;
    }
    showStale(error instanceof ApiError && error.code === "sign_in" ? "signed-out" : "stale");
  }
  timer = window.setTimeout(renew, RENEW_MS);
}

/** @param {string} shown why the states are old: "stale", "signed-out", or "" where they are not */
function showStale(shown) {
  for (const name of ["stale", "signed-out"]) {
    const line = /** @type {HTMLElement | null} */ (document.querySelector(`[data-${name}]`));
    if (line) line.hidden = name !== shown;
  }
}

/** @param {Document} fresh */
function renewHops(fresh) {
  for (const hop of document.querySelectorAll("[data-hop]")) {
    const next = fresh.querySelector(`[data-hop="${hop.getAttribute("data-hop")}"]`);
    if (next && next.outerHTML !== hop.outerHTML) hop.replaceWith(next);
  }
}

mountTheme();
hook(document, "language").addEventListener("click", () => {
  keepChoice("language", hook(document, "language").lang);
  location.reload();
});
if (isLocked) renew();
else timer = window.setTimeout(renew, RENEW_MS);
document.documentElement.dataset.ready = "yes";
