// @ts-check
/** The list of conversations: titles, order, search, and what goes when the browser's room is full. Pure. */

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./packing.js").Body} Body
 *
 * @typedef {object} Entry a conversation in the list; what it holds is read when it is opened
 * @property {string} id
 * @property {number} revision counts the writes: who does not know the last one writes nothing
 * @property {string} title "" where it has neither a name nor a question
 * @property {number} createdAt
 * @property {number} updatedAt when something was last said
 * @property {number} count of the messages that are shown
 * @property {number} pictures how many it has
 * @property {string | null} sessionId
 * @property {number} removedAt when it was removed; 0: it was not. It can be brought back until it is erased
 * @property {boolean} isErased nothing is left of it here, and the server has yet to hear that
 * @property {boolean} [isAnswering] an answer streamed when it was last written
 */

const MAX_TITLE = 80;
const ID_BYTES = 16; // as many as the gateway's own

/** @param {string} kind @returns {string} a new id, of a conversation ("c") or a session ("sess") */
export function newId(kind) {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
  return `${kind}_${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * Name a conversation: as its reader does, else by its first question, else by what is being written.
 * @param {{title: string, draft: string, messages: readonly {role: string, content: string}[]}} state
 */
export function titleOf({ title, draft, messages }) {
  const question = messages.find((each) => each.role === "user" && each.content.trim() !== "")?.content;
  return shortened(title || question || draft);
}

/** @param {string} text @returns {string} its first line that has words, cut between characters */
export function shortened(text) {
  const line = (text.trim().split(/[\r\n]/, 1)[0] ?? "").trim();
  const characters = [...line.slice(0, 4 * MAX_TITLE)];
  return characters.length > MAX_TITLE ? `${characters.slice(0, MAX_TITLE - 1).join("").trimEnd()}…` : characters.join("");
}

/**
 * @param {string} id
 * @param {string | null} sessionId
 * @param {number} createdAt
 * @returns {Entry} of a conversation that has not been written yet
 */
export const newEntry = (id, sessionId, createdAt) => ({
  id,
  sessionId,
  createdAt,
  revision: 0,
  title: "",
  updatedAt: 0,
  count: 0,
  pictures: 0,
  removedAt: 0,
  isErased: false,
});

/** @param {Iterable<Entry>} entries @returns {Entry[]} those that can be opened and say something, the latest first */
export const listed = (entries) =>
  [...entries]
    .filter((each) => !each.removedAt && !each.isErased && (each.title !== "" || each.count > 0))
    .sort((one, other) => other.updatedAt - one.updatedAt);

/** @param {string} query @returns {string[]} the words that all must occur */
export const wordsOf = (query) => folded(query).split(/\s+/).filter((word) => word !== "");

/** @param {string} text */
const folded = (text) => text.normalize("NFKC").toLowerCase();

/** @param {string} text @param {readonly string[]} words */
export function hasAll(text, words) {
  const inside = folded(text);
  return words.every((word) => inside.includes(word));
}

/** @param {Body} body @returns {string[]} what has been said, in all branches */
export const textsOf = (body) =>
  [body, ...(body["others"] ?? [])].flatMap(({ messages }) => messages.map((/** @type {any} */ each) => String(each.content)));

const AROUND = 10; // characters before the word that was found: the column is some 25 wide

/**
 * Return the line of a conversation that shows why it was found.
 * @param {readonly string[]} texts
 * @param {readonly string[]} words
 * @returns {string | null} null: it was not found
 */
export function found(texts, words) {
  if (!hasAll(texts.join("\n"), words)) return null;
  const [word = ""] = words;
  const text = texts.find((each) => folded(each).includes(word)) ?? "";
  const place = Math.max(folded(text).indexOf(word) - AROUND, 0);
  const line = text.slice(place, place + 2 * MAX_TITLE).replace(/\s+/g, " ");
  return place > 0 ? `…${line.trimStart()}` : line;
}

/**
 * Choose what to let go when the browser's room is full: pictures before texts, and the oldest first.
 * @param {readonly Entry[]} entries
 * @param {ReadonlySet<string>} inUse ids of those that are open, or answer: their texts are never let go
 * @returns {{id: string, what: "pictures" | "conversation"} | null} null: there is nothing more
 */
export function toLetGo(entries, inUse) {
  const oldest = [...entries].filter((each) => !each.isErased).sort((one, other) => one.updatedAt - other.updatedAt);
  const unused = oldest.filter((each) => !inUse.has(each.id));
  const pictured = unused.find((each) => each.pictures > 0);
  if (pictured) return { id: pictured.id, what: "pictures" };
  const [first] = unused;
  if (first) return { id: first.id, what: "conversation" };
  const own = oldest.find((each) => each.pictures > 0);
  return own ? { id: own.id, what: "pictures" } : null;
}
