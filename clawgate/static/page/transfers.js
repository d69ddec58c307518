// @ts-check
/** Conversations out of the browser into files, and back. */

import { newEntry, newId, titleOf } from "../core/conversations.js";
import { packed, unpacked } from "../core/packing.js";
import { begun } from "../core/state.js";
import * as transfer from "../core/transfer.js";
import { fileName, saveFile } from "../parts/files.js";

/**
 * @typedef {import("../core/conversations.js").Entry} Entry
 * @typedef {"md" | "json"} Kind
 */

const TYPES = { md: "text/markdown", json: "application/json" };

/**
 * @param {object} page
 * @param {import("../parts/archive.js").Archive} page.archive
 * @param {() => import("../parts/words.js").Dictionary} page.words
 * @param {(entry: Entry) => void} page.onWritten
 */
export function mountTransfers({ archive, words, onWritten }) {
  /** @returns {transfer.Labels} */
  function labels() {
    const word = (/** @type {string} */ key) => words()[key] ?? "";
    return {
      you: word("you"),
      assistant: word("assistant"),
      untitled: word("conversations.untitled"),
      interrupted: word("mark.interrupted"),
      pictures: word("export.pictures"),
    };
  }

  /**
   * Save conversations as one file.
   * @param {readonly Entry[]} entries
   * @param {Kind} kind
   */
  async function save(entries, kind) {
    const now = new Date().toISOString();
    /** @type {string[]} */
    const parts = [];
    let title = `clawgate ${now.slice(0, 10)}`;
    for (const { id } of entries) {
      const kept = await archive.read(id);
      if (!kept || !transfer.isSound(kept.body)) continue;
      parts.push(kind === "md" ? transfer.toMarkdown(kept.body, labels()) : transfer.toJson(kept.body, kept.pictures));
      if (entries.length === 1) title = titleOf(/** @type {any} */ (kept.body)) || title;
    }
    const whole = kind === "md" ? [parts.join("\n---\n\n")] : [transfer.jsonHead(now), parts.join(",\n"), transfer.JSON_TAIL];
    saveFile(`${fileName(title)}.${kind}`, TYPES[kind], whole);
  }

  /**
   * Read a file of conversations; each becomes a new one, whatever is here.
   * @param {File} file
   * @returns {Promise<Entry[]>}
   * @throws {transfer.TransferError} it names what is wrong, and nothing has been taken over
   */
  async function read(file) {
    if (file.size > transfer.MAX_IMPORT_BYTES) {
      throw new transfer.TransferError("import.large", { most: transfer.MAX_IMPORT_BYTES / 2 ** 20 });
    }
    const bodies = transfer.fromJson(await file.text());
    /** @type {Entry[]} */
    const entries = [];
    for (const body of bodies) {
      const entry = await write(body);
      if (!entry) throw new transfer.TransferError("import.full", { count: entries.length });
      entries.push(entry);
      onWritten(entry);
    }
    return entries;
  }

  /**
   * @param {import("../core/packing.js").Body} body
   * @returns {Promise<Entry | null>} null: there is no room
   */
  async function write(body) {
    const now = Date.now();
    const fresh = begun(newId("c"), newId("sess"), now);
    const state = { ...unpacked(fresh, body), id: fresh.id, sessionId: fresh.sessionId, isBehind: true };
    const { body: own, pictures } = packed(state);
    const { createdAt } = state;
    const saidAt = state.messages.reduce((latest, each) => Math.max(latest, each.askedAt), createdAt);
    const updatedAt = Math.min(saidAt, now) || now;
    const count = state.messages.length;
    const entry = { ...newEntry(state.id, state.sessionId, createdAt), title: titleOf(state), updatedAt, count };
    try {
      const pictured = { ...entry, pictures: Object.values(pictures).flat().length };
      const done = await archive.write(pictured, own, pictures);
      return typeof done === "string" ? null : done;
    } catch {
      return null; // what is here is not let go for what is in a file
    }
  }

  return { save, read };
}
