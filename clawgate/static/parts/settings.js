// @ts-check
/** The dialog with a conversation's system prompt and Ollama's options. Its right values count from when it closes. */

import { PARAMETERS, isSet, readOptions, writtenStops } from "../core/settings.js";
import { hook, write } from "./dom.js";
import { filled } from "./words.js";

/** @typedef {import("../core/settings.js").Settings} Settings */

/**
 * @param {() => Settings} settings
 * @param {(change: Partial<Settings>) => void} onChange
 * @param {() => import("./words.js").Dictionary} words
 */
export function mountSettings(settings, onChange, words) {
  const dialog = /** @type {HTMLDialogElement} */ (hook(document, "settings"));
  const form = /** @type {HTMLFormElement} */ (hook(dialog, "settings-form"));
  const opener = hook(document, "settings-open");
  const field = (/** @type {string} */ name) =>
    /** @type {HTMLInputElement | HTMLTextAreaElement} */ (form.elements.namedItem(name));
  const names = [...Object.keys(PARAMETERS), "stop"];

  const read = () => readOptions(Object.fromEntries(names.map((name) => [name, field(name).value])));

  /** Say at each field what is wrong with it. @returns {string[]} the names of the wrong ones */
  function check() {
    const { wrong } = read();
    for (const name of names) {
      const isWrong = wrong.includes(name);
      const { least = 0, most = 0 } = PARAMETERS[name] ?? {};
      const key = name === "stop" ? "settings.wrong.stop" : PARAMETERS[name]?.isWhole ? "settings.wrong.whole" : "settings.wrong";
      const place = hook(/** @type {HTMLElement} */ (field(name).closest("[data-parameter]")), "wrong");
      field(name).setAttribute("aria-invalid", String(isWrong));
      write(place, isWrong ? filled(words()[key] ?? "", { least, most }) : "");
    }
    return wrong;
  }

  /** @param {Settings} given */
  function show({ system, options }) {
    field("system").value = system;
    for (const name of Object.keys(PARAMETERS)) field(name).value = String(options[name] ?? "");
    field("stop").value = writtenStops(options);
    check();
  }

  opener.addEventListener("click", () => {
    show(settings());
    dialog.showModal();
  });
  form.addEventListener("input", check);
  form.addEventListener("submit", (event) => {
    const [first] = check();
    if (first === undefined) return;
    event.preventDefault();
    field(first).focus();
  });
  hook(dialog, "settings-reset").addEventListener("click", () => {
    show({ ...settings(), system: "", options: {} });
    field("system").focus();
  });
  dialog.addEventListener("close", () => onChange({ system: field("system").value.trim(), options: read().options }));
  mountBackdrop(dialog);

  return {
    /** Show on the button that opens it whether something is set. @param {Settings} now */
    paint(now) {
      opener.classList.toggle("set", isSet(now));
      opener.title = isSet(now) ? (words()["settings.set"] ?? "") : "";
    },
  };
}

/**
 * Close a dialog by a click beside it.
 * @param {HTMLDialogElement} dialog
 */
export function mountBackdrop(dialog) {
  dialog.addEventListener("pointerdown", (event) => {
    if (event.target !== dialog) return;
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    const isBeside = event.clientX < left || event.clientX > right || event.clientY < top || event.clientY > bottom;
    if (isBeside) dialog.close();
  });
}
