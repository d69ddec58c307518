// @ts-check
/**
 * Lets the browser leave out what is out of sight. An element that is in view must not be told so: it would be blank for
 * a frame. So it is watched until it is a screen away, and then marked, for good: the browser sees to the rest.
 */

/** @returns {(element: Element) => void} watches an element whose size has been seen */
export function watchSight() {
  const watched = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (isIntersecting || !target.isConnected) continue;
        target.classList.add("far");
        watched.unobserve(target);
      }
    },
    { rootMargin: "100% 0px" },
  );
  return (element) => watched.observe(element);
}
