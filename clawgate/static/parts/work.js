// @ts-check
/** Work that can wait: done in slices of a few milliseconds, between which the page answers. */

const SLICE_MS = 8;

export function createWork() {
  /** @type {(() => void)[]} */
  let waiting = [];
  let isPlanned = false;

  function run() {
    const ends = performance.now() + SLICE_MS;
    let done = 0;
    while (done < waiting.length && (done === 0 || performance.now() < ends)) waiting[done++]?.();
    waiting = waiting.slice(done);
    isPlanned = waiting.length > 0;
    if (isPlanned) setTimeout(run, 0);
  }

  /** @param {() => void} task */
  return (task) => {
    waiting.push(task);
    if (!isPlanned) setTimeout(run, 0);
    isPlanned = true;
  };
}
