// @ts-check
/** How much of the model's context the conversation takes: below the field, and said before it is full. */

import { contextOf } from "../core/meter.js";
import { hook, write } from "./dom.js";
import { filled } from "./words.js";

/** @param {() => import("./words.js").Dictionary} words */
export function mountMeter(words) {
  const place = hook(document, "meter");
  const bar = /** @type {HTMLMeterElement} */ (hook(place, "meter-bar"));
  const text = hook(place, "meter-text");

  return {
    /** @param {readonly import("../core/message.js").Message[]} messages */
    paint(messages) {
      const context = contextOf(messages);
      place.hidden = context === null;
      if (!context) return;
      const { used, size, percent, isWarned } = context;
      place.classList.toggle("warned", isWarned);
      bar.value = percent;
      const figures = { used: used.toLocaleString("en"), size: size.toLocaleString("en"), percent };
      place.title = filled(words()["meter.title"] ?? "", figures);
      write(text, filled(words()[isWarned ? "meter.warned" : "meter"] ?? "", figures));
      write(hook(place, "meter-more"), isWarned ? (words()["meter.soon"] ?? "") : "");
    },
  };
}
