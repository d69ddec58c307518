// @ts-check
/**
 * The setup page: it fetches itself again, with the token where the gateway wants one, and shows what has changed. Once
 * nothing comes any more, no state is shown as known.
 */

import { createApi } from "../core/api.js";
import { ApiError } from "../core/failing.js";
import { copyWith } from "../parts/copy.js";
import { hook } from "../parts/dom.js";
import { files, home } from "../parts/place.js";
import { keepChoice, kept } from "../parts/storage.js";
import { mountTheme } from "../parts/theme.js";
import { mountToken } from "../parts/token.js";
import { filled, load } from "../parts/words.js";

const RENEW_MS = 3000;
const language = document.documentElement.lang;
const token = kept("token");
const api = createApi(home.href, token.get);
const askToken = mountToken(token, (isForgotten) => (isForgotten ? location.reload() : renew()));
const words = await load(files, language);
const entry = hook(document, "token-entry");
let isLocked = document.body.dataset.locked === "yes";
let heardAt = new Date();
let timer = 0;

/** Each hop as the gateway has last shown it. @type {Map<string, string>} */
let shown = new Map();

async function renew() {
  window.clearTimeout(timer);
  try {
    const fresh = new DOMParser().parseFromString(await api.text("setup"), "text/html");
    if (!fresh.querySelector("[data-main]")) throw new ApiError("sign_in", "another page in its place");
    heardAt = new Date();
    if (isLocked) hook(document, "main").replaceWith(hook(fresh, "main"));
    else renewHops(fresh);
    isLocked = false;
    entry.hidden = !token.get();
    entry.textContent = words["token.title"] ?? "";
    say("", "");
  } catch (error) {
    const code = error instanceof ApiError ? error.code : "";
    if (code === "unauthorized") {
      showLocked();
      return;
    }
    showGone(code === "sign_in");
  }
  timer = window.setTimeout(renew, RENEW_MS);
}

function showLocked() {
  entry.hidden = false;
  entry.textContent = words["token.enter"] ?? "";
  if (!isLocked) forgetStates();
  say("locked", words["setup.locked"] ?? "");
  askToken(token.get() !== null);
}

/** @param {boolean} isSignedOut something in front answers in the gateway's place */
function showGone(isSignedOut) {
  const time = heardAt.toLocaleTimeString(language);
  forgetStates();
  const clawgate = isSignedOut ? null : hop("clawgate");
  if (clawgate) {
    setState(clawgate, "down");
    hook(clawgate, "hop-text").textContent = filled(words["setup.clawgate.down"] ?? "", { time });
  }
  if (isSignedOut) say("signed-out", words["setup.sign_in"] ?? "");
  else say("stale", filled(words["setup.stale"] ?? "", { time }));
}

/**
 * Say above the states why they are old.
 * @param {string} kind
 * @param {string} text
 */
function say(kind, text) {
  const line = /** @type {HTMLElement | null} */ (document.querySelector("[data-old]"));
  if (!line) return;
  line.hidden = text === "";
  line.dataset.old = kind;
  if (line.textContent !== text) line.textContent = text;
}

/** Show no state as known: what was seen last may have changed. */
function forgetStates() {
  shown = new Map();
  for (const each of hops(document)) setState(each, "unknown");
}

/**
 * @param {HTMLElement} each
 * @param {string} state
 */
function setState(each, state) {
  each.className = `hop ${state}`;
  each.dataset.state = state;
  hook(each, "state-text").textContent = words[`setup.state.${state}`] ?? "";
}

/** @param {ParentNode} root */
const hops = (root) => /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-hop]"));

/** @param {string} name */
const hop = (name) => /** @type {HTMLElement | null} */ (document.querySelector(`[data-hop="${name}"]`));

/** @param {Document} fresh */
function renewHops(fresh) {
  for (const next of hops(fresh)) {
    const name = next.dataset.hop ?? "";
    const html = next.outerHTML;
    if (shown.get(name) !== html) hop(name)?.replaceWith(next);
    shown.set(name, html);
  }
}

mountTheme();
entry.addEventListener("click", () => askToken(false));
hook(document, "language").addEventListener("click", () => {
  keepChoice("language", hook(document, "language").lang);
  location.reload();
});
document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-copy]") : null;
  const command = button?.previousElementSibling?.textContent;
  if (button instanceof HTMLElement && command) copyWith(button, command, () => words);
});
for (const each of hops(document)) shown.set(each.dataset.hop ?? "", each.outerHTML);
entry.hidden = !isLocked && !token.get();
if (isLocked) renew();
else timer = window.setTimeout(renew, RENEW_MS);
document.documentElement.dataset.ready = "yes";
