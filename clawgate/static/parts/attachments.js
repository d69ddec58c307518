// @ts-check
/** Files for the next message: pasted, dropped or chosen. Pictures go into the tray, texts into the field. */

import { MAX_PICTURES, MAX_TEXT_BYTES, addressOf, fenced, textOf } from "../core/attached.js";
import { hook } from "./dom.js";
import { packPicture } from "./pictures.js";
import { filled } from "./words.js";

/**
 * @typedef {object} Limits
 * @property {() => boolean | null} canSee whether the model takes pictures; null where Ollama has to say
 * @property {() => string} model its name
 * @property {number} pictureBytes what the pictures of a request may come to, in base64
 *
 * @typedef {object} Field
 * @property {Limits} limits
 * @property {(text: string) => void} insert puts a text into the field
 * @property {() => void} onChange
 * @property {(key: string, values?: Record<string, string | number>) => void} notice
 * @property {() => import("./words.js").Dictionary} words
 */

/** @param {Field} field */
export function mountAttachments({ limits, insert, onChange, notice, words }) {
  const tray = hook(document, "tray");
  const input = /** @type {HTMLInputElement} */ (hook(document, "attach-input"));
  const zone = hook(document, "dropzone");
  const template = /** @type {HTMLTemplateElement} */ (document.querySelector('[data-template="picture"]'));
  /** @type {string[]} */
  let pictures = [];
  /** @type {Promise<void>} */
  let work = Promise.resolve();
  let waiting = 0;

  /** @param {Iterable<File>} files */
  function take(files) {
    for (const file of files) {
      waiting += 1;
      work = work.then(() => takeOne(file)).catch(() => notice("attach.unreadable", { name: file.name })).finally(() => {
        waiting -= 1;
        onChange();
      });
    }
  }

  /** @param {File} file */
  async function takeOne(file) {
    const { name } = file;
    if (/^image\/(?!svg)/.test(file.type)) return takePicture(file);
    if (file.size > MAX_TEXT_BYTES) return notice("attach.long", { name, size: MAX_TEXT_BYTES / 1024 });
    const text = textOf(new Uint8Array(await file.arrayBuffer()));
    if (text === null) return notice("attach.binary", { name });
    insert(fenced(name, text));
  }

  /** @param {File} file */
  async function takePicture(file) {
    if (limits.canSee() === false) return notice("attach.blind", { model: limits.model() });
    if (pictures.length >= MAX_PICTURES) return notice("attach.many", { most: MAX_PICTURES });
    const left = limits.pictureBytes - pictures.reduce((sum, { length }) => sum + length, 0);
    const picture = await packPicture(file, left);
    if (picture === null) return notice("attach.large", { name: file.name });
    set([...pictures, picture]);
  }

  /** @param {readonly string[]} images */
  function set(images) {
    if (images.length === 0 && pictures.length === 0) return;
    pictures = [...images];
    tray.replaceChildren(...pictures.map(thumb));
    tray.hidden = pictures.length === 0;
    paint();
  }

  /** @param {string} picture */
  function thumb(picture) {
    const item = /** @type {HTMLElement} */ (/** @type {Element} */ (template.content.firstElementChild).cloneNode(true));
    /** @type {HTMLImageElement} */ (hook(item, "picture-image")).src = addressOf(picture);
    hook(item, "picture-remove").addEventListener("click", () => {
      const index = pictures.indexOf(picture);
      set(pictures.filter((_, at) => at !== index));
      onChange();
      /** @type {HTMLElement} */ (tray.querySelector("button") ?? hook(document, "attach")).focus();
    });
    return item;
  }

  /** Name the pictures in the page's language. */
  function paint() {
    [...tray.children].forEach((item, index) => {
      const number = index + 1;
      hook(item, "picture-image").setAttribute("alt", filled(words()["picture"] ?? "", { number }));
      hook(item, "picture-remove").setAttribute("aria-label", filled(words()["picture.remove"] ?? "", { number }));
    });
  }

  hook(document, "attach").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take([...(input.files ?? [])]);
    input.value = ""; // the same file can be chosen again
  });
  hook(document, "input").addEventListener("paste", (event) => {
    const copied = event.clipboardData;
    if (!copied?.files.length || copied.types.includes("text/plain")) return; // a spreadsheet copies a picture, too
    event.preventDefault();
    take([...copied.files]);
  });
  mountDrop(zone, take);

  return {
    set,
    paint,
    images: () => pictures,
    isEmpty: () => pictures.length === 0 && waiting === 0,
    /** Wait until every file is read. */
    settled: () => (waiting ? work : undefined),
  };
}

/**
 * Take files that are dropped anywhere on the page: else the browser would leave the page for them.
 * @param {HTMLElement} zone shows that they can be dropped
 * @param {(files: File[]) => void} take
 */
function mountDrop(zone, take) {
  const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files") ?? false;
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    zone.classList.add("dropping");
  });
  for (const name of /** @type {const} */ (["dragleave", "dragend"])) {
    document.addEventListener(name, (event) => event.relatedTarget || zone.classList.remove("dropping"));
  }
  document.addEventListener("drop", (event) => {
    zone.classList.remove("dropping");
    if (!hasFiles(event)) return;
    event.preventDefault();
    take([...(event.dataTransfer?.files ?? [])]);
  });
}
