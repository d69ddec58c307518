// @ts-check
/** Conversations as files: written as Markdown to read or as JSON to keep, read from JSON with every part checked. Pure. */

import { titleOf } from "./conversations.js";
import { without } from "./fields.js";

/**
 * @typedef {import("./packing.js").Body} Body
 * @typedef {{you: string, assistant: string, untitled: string, interrupted: string, pictures: string}} Labels
 */

const FORMAT = "clawgate.conversations";
const VERSION = 1;
const MAX_CONVERSATIONS = 5000;
const MAX_MESSAGES = 20_000;

/** Files larger than this are not read: the text, its parsed form and its copy in the browser stand in memory at once. */
export const MAX_IMPORT_BYTES = 64 * 2 ** 20;

/** A file that cannot be imported: `key` of the words, and what they name. */
export class TransferError extends Error {
  /**
   * @param {string} key
   * @param {Record<string, string | number>} values
   */
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

/**
 * These belong to this browser: the session's id would let a reader of the file into it, and a queue would be sent
 * without its reader.
 */
const OWN = ["id", "sessionId", "isBehind", "activeId", "runId", "nextId", "draft", "edit", "editingId", "queue"];
/** So does what names a message's run. */
const OF_MESSAGES = ["place", "base"];
/** Far fewer than the whole numbers that add up: the next messages count on from the greatest id. */
const MAX_ID = 2 ** 40;

/**
 * Write a conversation as JSON; its pictures are among its messages.
 * @param {Body} body
 * @param {import("./packing.js").Pictures} pictures
 * @returns {string}
 */
export function toJson(body, pictures) {
  const own = without(body, OWN);
  const whole = (/** @type {any[]} */ messages) =>
    messages.map((each) => ({ ...without(each, OF_MESSAGES), ...(pictures[each.id] ? { images: pictures[each.id] } : {}) }));
  const others = body["others"].map((/** @type {any} */ tail) => ({ ...tail, messages: whole(tail.messages) }));
  return JSON.stringify({ ...own, messages: whole(body["messages"]), others });
}

/** @param {string} date @returns {string} the beginning of a file of conversations; they follow with commas between */
export const jsonHead = (date) => `{"format":"${FORMAT}","version":${VERSION},"exported_at":"${date}","conversations":[\n`;

export const JSON_TAIL = "\n]}\n";

/**
 * Write a conversation as Markdown: the way that is shown.
 * @param {Body} body
 * @param {Labels} labels
 */
export function toMarkdown(body, labels) {
  const parts = [`# ${titleOf(/** @type {any} */ (body)) || labels.untitled}`];
  for (const each of body["messages"]) {
    const isCut = each.role === "assistant" && each.reason !== "stop";
    if (each.content === "" && isCut) continue;
    parts.push(`## ${each.role === "user" ? labels.you : labels.assistant}`);
    if (each.images?.length) parts.push(`*${labels.pictures}*`);
    if (each.content !== "") parts.push(each.content);
    if (isCut) parts.push(`*${labels.interrupted}*`);
  }
  return `${parts.join("\n\n")}\n`;
}

const FIGURES = ["eval_count", "eval_duration", "total_duration"];
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

const isText = (/** @type {unknown} */ value) => typeof value === "string";
const isCount = (/** @type {unknown} */ value) => Number.isSafeInteger(value) && Number(value) >= 0;
const isNumber = (/** @type {unknown} */ value) => Number.isFinite(value);
const isFlag = (/** @type {unknown} */ value) => typeof value === "boolean";
const isTexts = (/** @type {unknown} */ value) => Array.isArray(value) && value.every(isText);
const isObject = (/** @type {unknown} */ value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isPictures = (/** @type {unknown} */ value) => Array.isArray(value) && value.every((each) => isText(each) && BASE64.test(each));
const isRole = (/** @type {unknown} */ value) => value === "user" || value === "assistant";
const isStats = (/** @type {any} */ value) =>
  value === null ||
  (isObject(value) &&
    FIGURES.every((name) => value[name] === undefined || isNumber(value[name])) &&
    (value.context === undefined || (isCount(value.context?.used) && isCount(value.context?.size))));
const isFailure = (/** @type {any} */ value) => value === null || (isObject(value) && isText(value.code) && isText(value.message));

/** What the page reads of a message, and how it must be; whatever else is there stays as it is. @type {Record<string, (value: any) => boolean>} */
const MESSAGE = {
  id: (value) => isCount(value) && value > 0 && value <= MAX_ID,
  role: isRole,
  content: isText,
  thinking: isText,
  reason: isText,
  failure: isFailure,
  stats: isStats,
  tools: isTexts,
  images: isPictures,
  askedAt: isNumber,
  thinkingSince: isNumber,
  thoughtMs: isNumber,
  writtenMs: isNumber,
  attempt: isNumber,
  isRefused: isFlag,
  place: isText,
  base: (value) => isObject(value) && ["content", "thinking", "tools"].every((name) => isCount(value[name])),
};
const NEEDED = ["id", "role", "content"];

/** The same of a conversation. @type {Record<string, (value: any) => boolean>} */
const CONVERSATION = { title: isText, createdAt: isNumber, settings: isObject, queue: Array.isArray };

/**
 * @param {any} value
 * @param {Record<string, (value: any) => boolean>} fields
 * @param {readonly string[]} needed
 * @param {string} place
 */
function check(value, fields, needed, place) {
  if (!isObject(value)) throw new TransferError("import.field", { place });
  for (const [name, isRight] of Object.entries(fields)) {
    const isThere = Object.hasOwn(value, name) && value[name] !== undefined;
    if (isThere ? !isRight(value[name]) : needed.includes(name)) {
      throw new TransferError("import.field", { place: `${place}.${name}` });
    }
  }
}

/**
 * @param {any} messages
 * @param {string} place
 * @param {Set<number>} ids those of the messages so far
 * @param {number} most of them
 */
function checkMessages(messages, place, ids, most) {
  if (!Array.isArray(messages)) throw new TransferError("import.field", { place });
  messages.forEach((each, index) => {
    check(each, MESSAGE, NEEDED, `${place}[${index}]`);
    if (ids.has(each.id) || ids.size >= most) throw new TransferError("import.field", { place: `${place}[${index}].id` });
    ids.add(each.id);
  });
}

/**
 * @param {any} given
 * @param {string} place
 * @param {number} most messages
 * @returns {{ids: Set<number>, others: any[]}} those of all its messages, and its other ways
 */
function checkConversation(given, place, most) {
  check(given, CONVERSATION, [], place);
  const ids = new Set();
  checkMessages(given.messages, `${place}.messages`, ids, most);
  const others = given.others ?? [];
  if (!Array.isArray(others)) throw new TransferError("import.field", { place: `${place}.others` });
  others.forEach((tail, number) => {
    check(tail, { after: isCount }, ["after"], `${place}.others[${number}]`);
    checkMessages(tail.messages, `${place}.others[${number}].messages`, ids, most);
  });
  return { ids, others };
}

/** Tell whether what the browser has kept of a conversation is one: else it cannot be shown. @param {any} body */
export function isSound(body) {
  try {
    checkConversation(body, "", Infinity);
    return true;
  } catch {
    return false;
  }
}

/**
 * Read a file of conversations.
 * @param {string} text
 * @returns {Body[]}
 * @throws {TransferError} it says what is wrong, and nothing of the file is taken
 */
export function fromJson(text) {
  let file;
  try {
    file = JSON.parse(text);
  } catch {
    throw new TransferError("import.json");
  }
  if (file?.format !== FORMAT || !Array.isArray(file.conversations)) throw new TransferError("import.foreign");
  if (file.version !== VERSION) throw new TransferError("import.version", { version: String(file.version).slice(0, 20) });
  if (file.conversations.length > MAX_CONVERSATIONS) throw new TransferError("import.many", { most: MAX_CONVERSATIONS });
  return file.conversations.map((/** @type {any} */ each, /** @type {number} */ index) => {
    const { ids, others } = checkConversation(each, `conversations[${index}]`, MAX_MESSAGES);
    const kept = others.filter((tail) => tail.messages.length > 0 && (tail.after === 0 || ids.has(tail.after)));
    const own = without(each, OWN);
    return { title: "", createdAt: 0, ...own, others: kept };
  });
}
