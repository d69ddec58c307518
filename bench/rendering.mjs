/**
 * The requests that the chat page makes while an answer streams, for rendering.py: {text, characters_per_s} on stdin, the
 * texts of each request on stdout. Its units and its patience are the page's own; the clock is simulated.
 */
import { readFileSync } from "node:fs";
import { PATIENT_MS } from "../clawgate/static/core/renderings.js";
import { createUnits } from "../clawgate/static/core/units.js";

const FRAME_MS = 100; // the gateway's smoothing
const FORMULA = /\$[^$\n]+\$/g;

const { text, characters_per_s: rate } = JSON.parse(readFileSync(0, "utf8"));
const units = createUnits();
const known = new Set();
const requests = [];
let waiting = [];
let [sentAt, patient] = [-Infinity, Infinity];

function send(now) {
  if (waiting.length) requests.push(waiting);
  [waiting, sentAt, patient] = [[], now, Infinity];
}

function want(texts, ms) {
  waiting.push(...texts);
  if (texts.length) patient = Math.min(patient, ms);
}

for (let now = 0, end = 0; end < text.length; now += FRAME_MS) {
  end = Math.min(text.length, Math.ceil((now * rate) / 1000));
  const shown = text.slice(0, end);
  const finished = units.feed(shown);
  if (end === text.length) finished.push(...units.finish());
  const formulas = [...shown.matchAll(FORMULA)].map(([source]) => source).filter((source) => !known.has(source));
  for (const source of formulas) known.add(source);
  want(formulas, PATIENT_MS.formula);
  want(finished.map((unit) => text.slice(unit.start, unit.end)), PATIENT_MS.unit);
  if (now >= sentAt + patient || end === text.length) send(now);
}
console.log(JSON.stringify(requests));
