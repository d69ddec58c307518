// @ts-check
/**
 * The ways that a conversation has taken: pure. `messages` of the state is the one that is shown; each other one is a
 * tail that hangs on the message before it. Switching swaps tails. The tails of one place are ordered by age.
 */

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./message.js").Message} Message
 *
 * @typedef {object} Tail messages that are not shown
 * @property {number} after the id of the message that they follow; 0 where they begin the conversation
 * @property {readonly Message[]} messages
 */

/** @param {State} state @param {number} place @returns {number} */
const before = (state, place) => state.messages[place - 1]?.id ?? 0;

/** @param {Message} each */
const saysNothing = ({ role, phase, content, thinking, tools }) =>
  role === "assistant" && phase === "done" && content === "" && thinking === "" && tools.length === 0;

/**
 * Return the tails that are set aside once the path is left at a place; answers without a word are not kept.
 * @param {State} state
 * @param {number} place
 * @returns {readonly Tail[]}
 */
export function othersWith(state, place) {
  const messages = state.messages.slice(place);
  const isWorthless = messages.length === 0 || (messages.length === 1 && messages.every(saysNothing));
  return isWorthless ? state.others : [...state.others, { after: before(state, place), messages }];
}

/**
 * Return the ids of the messages that stand at this message's place, itself among them, oldest first.
 * @param {State} state
 * @param {number} id of a message on the path
 * @returns {number[]} of one, where the conversation has gone no other way here
 */
export function siblings(state, id) {
  const place = state.messages.findIndex((each) => each.id === id);
  if (place < 0) return [id];
  const after = before(state, place);
  const others = state.others.flatMap((tail) => (tail.after === after ? (tail.messages[0]?.id ?? []) : []));
  return [...others, id].sort((one, other) => one - other);
}

/**
 * Go another way at a message's place. The server's copy is behind then.
 * @param {State} state
 * @param {number} id of a message on the path
 * @param {number} step to the older (-1) or the newer (1) one
 * @returns {State} as it was, where there is none
 */
export function switched(state, id, step) {
  const there = siblings(state, id);
  const wanted = there[there.indexOf(id) + step];
  const tail = state.others.find((each) => each.messages[0]?.id === wanted);
  if (!tail) return state;
  const place = state.messages.findIndex((each) => each.id === id);
  const others = othersWith(state, place).filter((each) => each !== tail);
  return { ...state, messages: [...state.messages.slice(0, place), ...tail.messages], others, isBehind: true, editingId: 0, edit: "" };
}
