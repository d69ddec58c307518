// @ts-check
/** The buttons that save all conversations as a file, and read one. */

import { listed } from "../core/conversations.js";
import { TransferError } from "../core/transfer.js";
import { hook } from "../parts/dom.js";

/** @typedef {import("../core/conversations.js").Entry} Entry */

/**
 * @param {object} page
 * @param {ReturnType<typeof import("./transfers.js").mountTransfers>} page.transfers
 * @param {ReadonlyMap<string, Entry>} page.entries
 * @param {() => Promise<unknown>} page.saveAll
 * @param {import("./view.js").View} page.view
 * @param {(entries: Entry[]) => unknown} page.onImported
 */
export function mountFiles({ transfers, entries, saveAll, view, onImported }) {
  const input = /** @type {HTMLInputElement} */ (hook(document, "file"));

  /** @param {File} file */
  async function read(file) {
    try {
      const taken = await transfers.read(file);
      await onImported(taken);
      view.notice("import.done", { count: taken.length });
    } catch (error) {
      if (error instanceof TransferError) view.notice(error.key, error.values);
      else view.notice("import.unreadable");
    }
  }

  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (file) read(file).finally(() => (input.value = "")); // the same file can be chosen again
  });
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-files]"))) {
    button.addEventListener("click", async () => {
      const { files } = button.dataset;
      if (files !== "md" && files !== "json") return input.click();
      await saveAll();
      transfers.save(listed(entries.values()), files);
    });
  }
}
