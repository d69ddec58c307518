// @ts-check
/** The list of messages scrolls along with what comes, until the reader scrolls up. */

import { hook } from "./dom.js";

const NEAR_BOTTOM_PX = 48;
const AT_END_PX = 2; // positions are fractions of a pixel where the page is zoomed

/** @param {() => void} onReturn the reader went back to the newest message by its button */
export function mountScroller(onReturn) {
  const scroller = hook(document, "scroller");
  const newest = hook(document, "newest");
  let isFollowing = true;
  let lastTop = 0;
  let lastHeight = 0;

  /** Go to the end, unless the reader has scrolled away from it. */
  function follow() {
    if (isFollowing) {
      scroller.scrollTop = scroller.scrollHeight;
      [lastTop, lastHeight] = [scroller.scrollTop, scroller.scrollHeight];
    }
    newest.hidden = isFollowing;
  }

  /** Go to the end, and follow it again. */
  function returnToEnd() {
    isFollowing = true;
    follow();
  }

  scroller.addEventListener("scroll", () => {
    const { scrollTop: top, scrollHeight: height } = scroller;
    const below = height - top - scroller.clientHeight;
    const isReaders = top < lastTop && height >= lastHeight; // else the list shrank, and no reader moved it
    const isReturning = top > lastTop && height === lastHeight; // else what is above grew, and the browser kept the place
    if (below < AT_END_PX || (isReturning && below < NEAR_BOTTOM_PX)) isFollowing = true;
    else if (isReaders) isFollowing = false; // however little: else the next text takes the reader back
    [lastTop, lastHeight] = [top, height];
    newest.hidden = isFollowing;
  });
  const sizes = new ResizeObserver(follow); // before the frame is painted: what grows does not jump
  sizes.observe(scroller);
  sizes.observe(hook(document, "messages"));
  newest.addEventListener("click", () => {
    returnToEnd();
    onReturn();
  });
  return { follow, returnToEnd };
}
