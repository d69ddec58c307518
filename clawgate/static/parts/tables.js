// @ts-check
/**
 * The browser's database as tables of values by their keys: IndexedDB, or the page's memory where that is not to be had
 * (a private window, a forbidden or a full disk). A piece of work is one transaction: all of it is done, or nothing.
 */

import { home } from "./place.js";

/**
 * @typedef {"entries" | "bodies" | "pictures"} Table
 *
 * @typedef {object} Access what a piece of work can do; it awaits nothing else
 * @property {(table: Table, id: string) => Promise<any>} get
 * @property {(table: Table, first?: string, most?: number) => Promise<any[]>} all from a key on, in the order of the keys
 * @property {(table: Table, value: {id: string, [name: string]: any}) => void} put
 * @property {(table: Table, id: string) => void} remove
 *
 * @typedef {object} Tables
 * @property {boolean} isLasting false: nothing outlives the page
 * @property {<T>(mode: IDBTransactionMode, work: (access: Access) => Promise<T>) => Promise<T>} transact
 */

const VERSION = 1;
/** @type {readonly Table[]} */
const TABLES = ["entries", "bodies", "pictures"];
const OPEN_MS = 3000; // a database that another page holds up

/**
 * Open the tables of this gateway, whose path is in the database's name: two gateways of one host share nothing.
 * @returns {Promise<Tables>}
 */
export async function openTables() {
  try {
    let database = await openDatabase();
    return {
      isLasting: true,
      async transact(mode, work) {
        if (isClosed.has(database)) database = await openDatabase();
        return within(database, mode, work);
      },
    };
  } catch {
    return inMemory();
  }
}

/** The databases that are closed: the reader cleared the site's data, or another window deletes or changes them. @type {WeakSet<IDBDatabase>} */
const isClosed = new WeakSet();

/** @returns {Promise<IDBDatabase>} */
function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(`clawgate:${home.pathname}`, VERSION);
    const timer = setTimeout(() => reject(new Error("the browser's database does not open")), OPEN_MS);
    request.onupgradeneeded = () => TABLES.forEach((name) => request.result.createObjectStore(name, { keyPath: "id" }));
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      clearTimeout(timer);
      const database = request.result;
      database.onversionchange = () => {
        database.close();
        isClosed.add(database);
      };
      database.onclose = () => isClosed.add(database);
      resolve(database);
    };
  });
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
const result = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/**
 * @template T
 * @param {IDBDatabase} database
 * @param {IDBTransactionMode} mode
 * @param {(access: Access) => Promise<T>} work
 * @returns {Promise<T>} once it is written
 */
async function within(database, mode, work) {
  const transaction = database.transaction(TABLES, mode);
  const over = new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error);
  });
  const working = work({
    get: (table, id) => result(transaction.objectStore(table).get(id)),
    all: (table, first, most) => {
      const range = first === undefined ? null : IDBKeyRange.lowerBound(first, true);
      return result(transaction.objectStore(table).getAll(range, most));
    },
    put: (table, value) => void transaction.objectStore(table).put(value),
    remove: (table, id) => void transaction.objectStore(table).delete(id),
  });
  const [done] = await Promise.all([working, over]);
  return done;
}

/** @returns {Tables} */
function inMemory() {
  const tables = Object.fromEntries(TABLES.map((name) => [name, new Map()]));
  const of = (/** @type {Table} */ name) => /** @type {Map<string, any>} */ (tables[name]);
  /** @type {Access} */
  const access = {
    get: async (table, id) => of(table).get(id),
    all: async (table, first, most) => {
      const ids = [...of(table).keys()].sort().filter((id) => first === undefined || id > first);
      return ids.slice(0, most).map((id) => of(table).get(id));
    },
    put: (table, value) => void of(table).set(value.id, value),
    remove: (table, id) => void of(table).delete(id),
  };
  let last = Promise.resolve();
  return {
    isLasting: false,
    transact(_, work) {
      const done = last.then(() => work(access)); // one after the other, as transactions are
      last = done.then(
        () => undefined,
        () => undefined,
      );
      return done;
    },
  };
}
