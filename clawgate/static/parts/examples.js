// @ts-check
/** Questions to begin with, on an empty page: one click fills and sends. */

/** @param {(text: string) => void} send */
export function mountExamples(send) {
  for (const each of document.querySelectorAll("[data-example]")) {
    each.addEventListener("click", () => send(each.textContent?.trim() ?? ""));
  }
}
