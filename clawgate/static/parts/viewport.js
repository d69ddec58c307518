// @ts-check
/**
 * The height that a keyboard on the screen leaves. The page makes itself smaller for it in browsers that do not (Safari;
 * the others obey `interactive-widget`).
 */

const KEYBOARD_PART = 0.8; // a keyboard takes more than a toolbar does

/** Keep the page within what is visible. */
export function mountViewport() {
  const view = window.visualViewport;
  if (!view) return;
  const root = document.documentElement;
  view.addEventListener("resize", () => {
    const isTaken = view.scale <= 1.01 && view.height < root.clientHeight * KEYBOARD_PART;
    document.body.classList.toggle("keyboard", isTaken);
    if (isTaken) root.style.setProperty("--height", `${view.height}px`);
    else root.style.removeProperty("--height");
    if (isTaken) window.scrollTo(0, 0); // Safari pushes the page up for its field
  });
}
