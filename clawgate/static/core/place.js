// @ts-check
/**
 * The place of a reader in a run: the id of the last event that it has, `run_…:<number>`. A run's events are numbered
 * without gaps, so that a reader can tell what it has already and what it has missed. Pure.
 */

/** @param {string} at @returns {string} the run's id */
export const runOf = (at) => at.slice(0, Math.max(at.lastIndexOf(":"), 0));

/** @param {string} at */
const numberOf = (at) => Number(at.slice(at.lastIndexOf(":") + 1));

/**
 * Compare an event with the place of its reader.
 * @param {string} place "" where nothing has come yet
 * @param {string} at the event's id; "" where it has none
 * @returns {"known" | "next" | "beyond"} beyond: something between the two is missing
 */
export function step(place, at) {
  if (!place || !at || runOf(place) !== runOf(at)) return "next";
  const ahead = numberOf(at) - numberOf(place);
  return ahead <= 0 ? "known" : ahead > 1 ? "beyond" : "next";
}
