// @ts-check
/** The chat page: what the reader does becomes requests, what comes back becomes the state, the state is shown. */

import { createApi } from "../core/api.js";
import { newId } from "../core/conversations.js";
import { configured } from "../core/settings.js";
import { begun, drafted, editing } from "../core/state.js";
import { createShown, createStore } from "../core/store.js";
import { openArchive } from "../parts/archive.js";
import { home } from "../parts/place.js";
import { kept } from "../parts/storage.js";
import { mountAccess } from "./access.js";
import { mountConversations } from "./conversations.js";
import { mountStatus } from "./status.js";
import { mountTitle } from "./title.js";
import { mountView } from "./view.js";

performance.mark("opening"); // to "listed": what a reader of many conversations waits for
const archive = await openArchive();
const token = kept("token");
const api = createApi(home.href, token.get, (error) => status.failed(error));
const store = createShown(createStore(begun(newId("c"), newId("sess"), Date.now())));
const actions = {
  send: (/** @type {string} */ text, /** @type {readonly string[]} */ images, /** @type {import("../parts/composer.js").Way} */ way) =>
    conversations.send(text, images, way),
  configure: (/** @type {Partial<import("../core/settings.js").Settings>} */ change) => store.set(configured(store.get(), change)),
  withdraw: (/** @type {number} */ id) => conversations.withdraw(id),
  interrupt: () => conversations.interrupt(),
  clear: () => conversations.clear(),
  draft: (/** @type {string} */ text) => store.set(drafted(store.get(), text)),
  cancelEdit: () => store.set(editing(store.get(), 0)),
  act: (/** @type {import("../parts/bubble.js").Action} */ action, /** @type {number} */ id) => conversations.act(action, id),
};
const view = await mountView(actions, api.render, () => conversations.silentMs());
const access = mountAccess(store, token, () => status.look());
const status = mountStatus(store, api, view, access, () => conversations.comeBack());
const title = mountTitle(store, view.words);
const conversations = mountConversations({ archive, shown: store, api, view, access, status, onEnd: title.ended });

store.watch(view.show);
await conversations.restore();
status.look();
setInterval(() => {
  if (store.get().activeId || store.get().elsewhereId) view.tick();
  conversations.listen();
}, 1000);
document.documentElement.dataset.ready = "yes";
