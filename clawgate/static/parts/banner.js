// @ts-check
/** A line above the messages about what holds for the whole page: the embedded trial model, a sign-on that has expired. */

import { hook } from "./dom.js";

const KEY = "clawgate.embedded"; // of this visit

/** @returns {(link: string, isEmbedded: boolean | null) => void} shows what holds now; null: as before */
export function mountBanners() {
  const signedOut = hook(document, 'banner="signed_out"');
  const embedded = hook(document, 'banner="embedded"');
  let isDismissed = visit("get") === "dismissed";
  let isEmbedded = false;
  hook(signedOut, "reload").addEventListener("click", () => location.reload());
  hook(embedded, "banner-close").addEventListener("click", () => {
    isDismissed = true;
    embedded.hidden = true;
    visit("set");
  });
  return (link, told) => {
    isEmbedded = told ?? isEmbedded;
    signedOut.hidden = link !== "signed_out";
    embedded.hidden = isDismissed || !isEmbedded || !signedOut.hidden;
  };
}

/**
 * Remember for this visit that the line was closed; without storage as long as the page.
 * @param {"get" | "set"} way
 */
function visit(way) {
  try {
    return way === "get" ? sessionStorage.getItem(KEY) : sessionStorage.setItem(KEY, "dismissed");
  } catch {
    return null;
  }
}
