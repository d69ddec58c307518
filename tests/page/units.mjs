/** Cuts texts for test_units.py: a line of JSON in, a text; a line of JSON out, its units. */
import { createInterface } from "node:readline";
import { createUnits, namesOf } from "../../clawgate/static/core/units.js";

for await (const line of createInterface({ input: process.stdin })) {
  const text = JSON.parse(line);
  const units = createUnits();
  const found = [...units.feed(text), ...units.finish()].map((unit) => {
    const own = text.slice(unit.start, unit.end);
    return { text: own, item: unit.item, defined: namesOf(unit, own).defined.map((each) => each.text) };
  });
  console.log(JSON.stringify(found));
}
