// @ts-check
/** Files out of the page and into it. */

const KEPT_MS = 60_000; // the browser reads the file while it saves it

/**
 * Save a file where the browser saves what it loads down.
 * @param {string} name
 * @param {string} type
 * @param {string[]} parts
 */
export function saveFile(name, type, parts) {
  const address = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), KEPT_MS);
}

/**
 * Make a file's name of a title: what file systems refuse is left out.
 * @param {string} title
 */
export const fileName = (title) =>
  title
    .replace(/[\u0000-\u001f\u007f<>:"/\\|?*]+/g, " ")
    .replace(/\s+/g, " ")
    .replace(/^[\s.]+|[\s.]+$/g, "")
    .slice(0, 60)
    .trim() || "clawgate";
