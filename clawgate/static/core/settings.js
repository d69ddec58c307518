// @ts-check
/** What the reader sets for one conversation: its system prompt, its model, thinking, and Ollama's options. Pure. */

/**
 * @typedef {import("./state.js").State} State
 * @typedef {Readonly<Record<string, number | readonly string[]>>} Options Ollama's options, by their names
 *
 * @typedef {object} Settings
 * @property {string} system the system prompt; "" for none
 * @property {Options} options those that differ from the gateway's own
 * @property {string} model "" for the gateway's own
 * @property {boolean} think whether a model that can think is to do so
 *
 * @typedef {object} Model what a model can; null where that is not known
 * @property {string} name
 * @property {boolean | null} thinking
 * @property {boolean | null} vision
 *
 * @typedef {{isWhole: boolean, least: number, most: number}} Bounds
 */

/** @type {Settings} */
export const DEFAULTS = Object.freeze({ system: "", options: Object.freeze({}), model: "", think: true });

/**
 * The options that the page offers, and what each takes. Source: Ollama docs/modelfile.md, "PARAMETER".
 * @type {Readonly<Record<string, Bounds>>}
 */
export const PARAMETERS = Object.freeze({
  temperature: { isWhole: false, least: 0, most: 2 },
  top_p: { isWhole: false, least: 0, most: 1 },
  num_ctx: { isWhole: true, least: 256, most: 2 ** 21 },
  num_predict: { isWhole: true, least: -2, most: 2 ** 21 }, // -1: no limit, -2: what the context takes
  seed: { isWhole: true, least: 0, most: 2 ** 31 - 1 },
});

const MAX_STOPS = 8;
const MAX_STOP_LENGTH = 100;

/**
 * Read a number as it was typed; a decimal comma is taken, too.
 * @param {string} text
 * @param {Bounds} bounds
 * @returns {number | null | undefined} null where nothing is set, undefined where it is wrong
 */
export function readNumber(text, { isWhole, least, most }) {
  const typed = text.trim().normalize("NFKC").replace(",", ".");
  if (typed === "") return null;
  const value = /^[-+]?(\d+\.?\d*|\.\d+)$/.test(typed) ? Number(typed) : NaN;
  const isRight = value >= least && value <= most && (!isWhole || Number.isInteger(value));
  return isRight ? value : undefined;
}

/**
 * Read the texts at which an answer stops, one a line. A `\n` in one stands for a new line.
 * @param {string} text
 * @returns {string[] | undefined} undefined where they are too many or too long
 */
export function readStops(text) {
  const stops = text.split("\n").filter((line) => line.trim() !== "").map((line) => line.replaceAll("\\n", "\n"));
  return stops.length > MAX_STOPS || stops.some((each) => each.length > MAX_STOP_LENGTH) ? undefined : stops;
}

/** @param {Options} options @returns {string} the texts as `readStops` reads them */
export const writtenStops = ({ stop }) =>
  (Array.isArray(stop) ? stop : []).map((/** @type {string} */ each) => each.replaceAll("\n", "\\n")).join("\n");

/**
 * Read the options as they were typed.
 * @param {Readonly<Record<string, string>>} typed by name
 * @returns {{options: Options, wrong: string[]}} the right ones, and the names of the wrong ones
 */
export function readOptions(typed) {
  /** @type {Record<string, number | string[]>} */
  const options = {};
  /** @type {string[]} */
  const wrong = [];
  for (const [name, bounds] of Object.entries(PARAMETERS)) {
    const value = readNumber(typed[name] ?? "", bounds);
    if (value === undefined) wrong.push(name);
    else if (value !== null) options[name] = value;
  }
  const stop = readStops(typed["stop"] ?? "");
  if (stop === undefined) wrong.push("stop");
  else if (stop.length) options["stop"] = stop;
  return { options: Object.freeze(options), wrong };
}

/** @param {Settings} settings @returns {boolean} whether the dialog's values are other than the gateway's own */
export const isSet = ({ system, options }) => system !== "" || Object.keys(options).length > 0;

/**
 * Change some of the settings. The server keeps a conversation's system prompt and pictures, so another prompt, or a
 * model that may see none, has to be sent with the whole conversation.
 * @param {State} state
 * @param {Partial<Settings>} change
 * @returns {State}
 */
export function configured(state, change) {
  const settings = Object.freeze({ ...state.settings, ...change });
  const isOther = settings.system !== state.settings.system || settings.model !== state.settings.model;
  return { ...state, settings, isBehind: state.isBehind || (isOther && state.messages.length > 0) };
}

/**
 * Tell whether an option is one that the dialog shows: nothing is sent that nobody sees.
 * @param {string} name
 * @param {any} value
 */
function isOption(name, value) {
  if (name === "stop") return Array.isArray(value) && value.every((each) => typeof each === "string") && readStops(writtenStops({ stop: value })) !== undefined;
  return Object.hasOwn(PARAMETERS, name) && typeof value === "number" && readNumber(String(value), /** @type {Bounds} */ (PARAMETERS[name])) === value;
}

/**
 * Read kept settings; what is not as it should be has its default.
 * @param {any} kept
 * @returns {Settings}
 */
export function settingsOf(kept) {
  const isNamed = (/** @type {unknown} */ value) => typeof value === "string";
  const options = Object.entries(kept?.options ?? {}).filter(([name, value]) => isOption(name, value));
  return Object.freeze({
    system: isNamed(kept?.system) ? kept.system : DEFAULTS.system,
    options: Object.freeze(Object.fromEntries(options)),
    model: isNamed(kept?.model) ? kept.model : DEFAULTS.model,
    think: kept?.think !== false,
  });
}

/**
 * Tell which model answers, and what it can: the chosen one while the gateway allows it, else the gateway's own.
 * @param {State} state
 * @returns {Model | null} null where the gateway has not said which there are
 */
export const modelOf = ({ models, settings }) => models.find((each) => each.name === settings.model) ?? models[0] ?? null;
