// @ts-check
/** The model that answers, with what it can; where several are allowed, one is chosen here. */

import { modelOf } from "../core/settings.js";
import { hook, write } from "./dom.js";

/** @typedef {import("../core/state.js").State} State */

/**
 * @param {(model: string) => void} onChoice
 * @param {() => import("./words.js").Dictionary} words
 */
export function mountModels(onChoice, words) {
  const choice = /** @type {HTMLSelectElement} */ (hook(document, "model-choice"));
  const name = hook(document, "model-name");
  choice.addEventListener("change", () => onChoice(choice.selectedIndex === 0 ? "" : choice.value));

  /** @param {import("../core/settings.js").Model} model */
  function label({ name: own, thinking, vision }) {
    const able = [thinking && words()["model.thinking"], vision && words()["model.vision"]].filter(Boolean);
    return able.length ? `${own} · ${able.join(words()["model.and"] ?? ", ")}` : own;
  }

  return {
    /** @param {State} state */
    paint(state) {
      const { models } = state;
      const chosen = modelOf(state);
      if (!chosen) return;
      write(name, chosen.name);
      name.hidden = models.length > 1;
      choice.hidden = models.length < 2;
      if (choice.hidden) return;
      while (choice.options.length > models.length) choice.remove(choice.options.length - 1);
      models.forEach((model, index) => {
        const option = choice.options[index] ?? choice.appendChild(document.createElement("option"));
        if (option.value !== model.name) option.value = model.name;
        write(option, label(model));
      });
      if (choice.value !== chosen.name) choice.value = chosen.name;
    },
  };
}
