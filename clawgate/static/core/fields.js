// @ts-check
/** A value's fields, whatever they are: pure. */

/**
 * Copy an object, but for some of its fields.
 * @param {object} whole
 * @param {readonly string[]} names
 * @returns {Record<string, any>}
 */
export const without = (whole, names) =>
  Object.fromEntries(Object.entries(whole).filter(([name]) => !names.includes(name)));
