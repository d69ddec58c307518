// @ts-check
/** The setup page: it fetches itself again, with the token where the gateway wants one, and shows what has changed. */

import { ApiError, createApi } from "../core/api.js";
import { hook } from "../parts/dom.js";
import { keepChoice, kept } from "../parts/storage.js";
import { mountTheme } from "../parts/theme.js";
import { mountToken } from "../parts/token.js";

const RENEW_MS = 3000;
const { base = "/" } = document.body.dataset;
const token = kept(`clawgate.token:${base}`);
const api = createApi(base, token.get);
const askToken = mountToken(token, renew);
let isLocked = document.body.dataset.locked === "yes";
let timer = 0;

async function renew() {
  window.clearTimeout(timer);
  try {
    const fresh = new DOMParser().parseFromString(await api.text("setup"), "text/html");
    if (isLocked) hook(document, "main").replaceWith(hook(fresh, "main"));
    else renewHops(fresh);
    isLocked = false;
    hook(document, "stale").hidden = true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      askToken(token.get() !== null);
      return;
    }
    const stale = /** @type {HTMLElement | null} */ (document.querySelector("[data-stale]"));
    if (stale) stale.hidden = false;
  }
  timer = window.setTimeout(renew, RENEW_MS);
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
