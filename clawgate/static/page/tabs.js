// @ts-check
/** Keeps the windows of one browser in step: each tells what it has written, the others take it over. */

import { pause } from "../core/pause.js";
import { mountChannel } from "../parts/channel.js";

/**
 * @typedef {import("../core/conversations.js").Entry} Entry
 *
 * @typedef {{kind: "written", entry: Entry, isAnswering: boolean} | {kind: "answering", id: string}
 *   | {kind: "removed" | "restored" | "erased", entry: Entry} | {kind: "who"}
 *   | {kind: "left", ids: string[]}} News
 *
 * @typedef {object} Hearers
 * @property {(news: News) => void} onNews once it is known who answers
 * @property {() => string[]} answering the conversations whose answers stream to this window
 * @property {(id: string) => boolean} readOn read along what another window's answer streams; false: it is not shown here
 */

const QUIET_MS = 10_000; // without a word this long, the server is asked whether an answer is still being made
const LOOK_MS = 2000;
const RETURN_MS = 500;

const OF_ENTRIES = ["written", "removed", "restored", "erased"];

/** Tell whether this page knows what a window says, which may be of another version. @param {any} news */
function isNews(news) {
  const { id, title, updatedAt, count, removedAt } = news?.entry ?? {};
  const isEntry = typeof id === "string" && typeof title === "string" && [updatedAt, count, removedAt].every(Number.isFinite);
  return (
    news?.kind === "who" ||
    (news?.kind === "answering" && typeof news.id === "string") ||
    (news?.kind === "left" && Array.isArray(news.ids)) ||
    (OF_ENTRIES.includes(news?.kind) && isEntry)
  );
}

/** @param {Hearers} hearers */
export function mountTabs({ onNews, answering, readOn }) {
  /** When a window was last heard of that an answer streams to. @type {Map<string, number>} */
  const heard = new Map();
  /** The conversations whose window has been left, and no other has taken its place. @type {Set<string>} */
  const left = new Set();

  const tell = mountChannel((/** @type {News} */ news) => {
    if (!isNews(news)) return;
    if (news.kind === "left") news.ids.forEach(takePlace);
    else if (news.kind !== "who") left.delete(news.kind === "answering" ? news.id : news.entry.id);
    if (news.kind === "who") answering().forEach((id) => tell({ kind: "answering", id }));
    else if (news.kind === "answering") heard.set(news.id, Date.now());
    else if (news.kind === "left") news.ids.forEach((id) => heard.has(id) && heard.set(id, 0));
    else if (news.kind === "written" && news.isAnswering) heard.set(news.entry.id, Date.now());
    else heard.delete(news.entry.id);
    onNews(news);
  });

  /**
   * Take the place of a window that has been left, as the reader of its answer: one window does, and tells the others.
   * Those that are looked at read already.
   * @param {string} id
   */
  async function takePlace(id) {
    left.add(id);
    if (document.hidden) await pause(RETURN_MS * (1 + Math.random())); // it may have been loaded anew
    if (left.delete(id) && readOn(id)) tell({ kind: "answering", id });
  }

  window.addEventListener("pagehide", () => tell({ kind: "left", ids: answering() })); // the server is asked at once

  return {
    /** @type {(news: News) => void} */
    tell,
    /** @param {string} id */
    answersElsewhere: (id) => heard.has(id),
    /** Note that the answer of another window has ended. @param {string} id */
    forget: (id) => void heard.delete(id),
    answering: () => [...heard.keys()],
    /**
     * Give up waiting for a window that says nothing any more, where the server makes no answer for it.
     * @param {import("../core/api.js").Api} api
     * @param {(id: string) => string | null} sessionOf
     * @param {(id: string) => void} onOver
     */
    watch(api, sessionOf, onOver) {
      setInterval(async () => {
        for (const [id, at] of heard) {
          const session = sessionOf(id);
          if (Date.now() - at < QUIET_MS) continue;
          heard.set(id, Date.now());
          const isOver =
            !session ||
            (await api.session(session).then(
              (seen) => !seen?.streaming,
              () => false,
            ));
          if (!isOver) continue;
          heard.delete(id);
          onOver(id);
        }
      }, LOOK_MS);
    },
  };
}
