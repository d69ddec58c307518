// @ts-check
/** Words between the windows of one browser that show this gateway: by BroadcastChannel, or else by storage events. */

import { home } from "./place.js";

const NAME = `clawgate.news:${home.pathname}`;

/**
 * Listen to the other windows.
 * @template News
 * @param {(news: News) => void} onNews never called with what this window has said
 * @returns {(news: News) => void} tells the others
 */
export function mountChannel(onNews) {
  try {
    const channel = new BroadcastChannel(NAME);
    channel.onmessage = (event) => onNews(event.data);
    return (news) => channel.postMessage(news);
  } catch {
    return byStorage(onNews);
  }
}

/**
 * @template News
 * @param {(news: News) => void} onNews
 * @returns {(news: News) => void}
 */
function byStorage(onNews) {
  let count = 0;
  window.addEventListener("storage", (event) => {
    if (event.key === NAME && event.newValue) onNews(JSON.parse(event.newValue).news);
  });
  return (news) => {
    try {
      count += 1;
      localStorage.setItem(NAME, JSON.stringify({ news, count, at: Date.now() })); // equal values make no event
    } catch {
      // full or forbidden: the other windows find out when they write
    }
  };
}
