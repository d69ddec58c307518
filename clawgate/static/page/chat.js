// @ts-check
/** The chat page: what the reader does becomes requests, what comes back becomes the state, the state is shown. */

import { createApi } from "../core/api.js";
import { configured } from "../core/settings.js";
import { editing, initial } from "../core/state.js";
import { createStore } from "../core/store.js";
import { home } from "../parts/place.js";
import { kept } from "../parts/storage.js";
import { mountAccess } from "./access.js";
import { mountComeback } from "./comeback.js";
import { mountKeeping } from "./keeping.js";
import { mountLine } from "./queue.js";
import { mountStatus } from "./status.js";
import { mountTalk } from "./talk.js";
import { mountTitle } from "./title.js";
import { mountView } from "./view.js";

const token = kept("token");
const api = createApi(home.href, token.get, (error) => status.failed(error));
const store = createStore(initial());
const actions = {
  send: (/** @type {string} */ text, /** @type {readonly string[]} */ images, /** @type {import("../parts/composer.js").Way} */ way) =>
    line.send(text, images, way),
  configure: (/** @type {Partial<import("../core/settings.js").Settings>} */ change) => store.set(configured(store.get(), change)),
  withdraw: (/** @type {number} */ id) => line.withdraw(id),
  interrupt: () => talk.interrupt(),
  clear: () => talk.clear(),
  cancelEdit: () => store.set(editing(store.get(), 0)),
  act: (/** @type {import("../parts/bubble.js").Action} */ action, /** @type {number} */ id) => talk.act(action, id),
};
const view = await mountView(actions, api.render, () => talk.silentMs());
const access = mountAccess(store, token, () => status.look());
const status = mountStatus(store, api, view, access, () => comeBack());
const keeping = mountKeeping(store, api, view, access);
const comeBack = mountComeback(store, api, view, keeping);
const talk = mountTalk({ store, api, view, access, status, keeping, onEnd: (answer) => ended(answer) });
const line = mountLine(store, view, talk.send);
const title = mountTitle(store, view.words);

/** @param {import("../core/message.js").Message} answer */
function ended(answer) {
  line.next(answer);
  title.ended(answer);
}

store.watch(view.show);
await keeping.restore();
status.look();
setInterval(() => {
  if (store.get().activeId === 0) return;
  view.tick();
  talk.listen();
}, 1000);
document.documentElement.dataset.ready = "yes";
