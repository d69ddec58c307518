// @ts-check
/**
 * The list of conversations as a drawer, where the page has no room for it beside the messages. The lines that tell what
 * became of a press in it go with it: beside an open drawer nothing can be read or pressed.
 */

import { hook } from "./dom.js";

const ROOM = "(min-width: 46.01rem) and (min-height: 40.01rem)"; // conversations.css hides the list below it

/** Let the drawer open by its button, and close by its own, by Esc, by a press beside it, and once there is room. */
export function mountDrawer() {
  const drawer = /** @type {HTMLDialogElement} */ (hook(document, "drawer"));
  const panel = hook(document, "conversations");
  const parts = [panel, hook(document, "notice"), hook(document, "undo")];
  const places = parts.map((each) => {
    const place = document.createComment("its place while the drawer is shut");
    each.before(place);
    return place;
  });

  hook(document, "drawer-open").addEventListener("click", () => {
    drawer.append(...parts);
    drawer.showModal();
    drawer.focus();
  });
  drawer.tabIndex = -1;
  drawer.addEventListener("close", () => places.forEach((place, index) => place.after(/** @type {Node} */ (parts[index]))));
  drawer.addEventListener("click", (event) => {
    if (event.target === drawer) drawer.close();
  });
  hook(panel, "drawer-close").addEventListener("click", () => drawer.close());
  matchMedia(ROOM).addEventListener("change", (event) => event.matches && drawer.close());

  return { close: () => drawer.close(), focus: () => drawer.open && (drawer.focus(), true) };
}
