// Documents that are not with the farm yet, kept in the browser's own database so that a reload in the middle loses none.
// They belong to this tab, and go as soon as the farm has them.

import { store } from "./dom.js";

const DAY = 86400000;
let opened = null;

const tab = (() => {
  const known = store.get("ocrfarm-tab", false);
  const id = known || `${Date.now()}-${Math.random().toString(16).slice(2)}`;
  store.set("ocrfarm-tab", id, false);
  return id;
})();

function database() {
  opened ||= new Promise((done, failed) => {
    const asked = indexedDB.open("ocrfarm", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("unsent", { keyPath: "id" });
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => failed(asked.error);
  });
  return opened;
}

async function work(mode, act) {
  const change = (await database()).transaction("unsent", mode);
  const asked = act(change.objectStore("unsent"));
  return new Promise((done, failed) => {
    change.oncomplete = () => done(asked?.result);
    change.onabort = change.onerror = () => failed(change.error);
  });
}

// Whether they are kept: a browser in private mode, or with a full disk, may refuse.
export async function keep(items) {
  try {
    const since = Date.now();
    await work("readwrite", (all) => items.forEach(({ id, file, name, choices }, n) => all.put({ id, file, name, choices, tab, since, n })));
    return true;
  } catch {
    return false;
  }
}

export async function forgotten(id) {
  try {
    await work("readwrite", (all) => all.delete(id));
  } catch {
    // it goes with the next visit, or is answered by its Idempotency-Key
  }
}

// This tab's, in the order in which they were taken; what another tab left behind for a day goes.
export async function kept() {
  try {
    const all = await work("readonly", (held) => held.getAll());
    for (const old of all) if (old.tab !== tab && old.since < Date.now() - DAY) forgotten(old.id);
    return all.filter((item) => item.tab === tab).sort((a, b) => a.since - b.since || a.n - b.n);
  } catch {
    return [];
  }
}
