// Taking documents and sending them: a few at a time, and not faster than the farm says (Retry-After).

import { askForKey, key, refusal, retryAfter } from "./api.js";
import { sleep, store } from "./dom.js";
import { forgotten, kept, keep } from "./unsent.js";
import { t } from "./words.js";

const AT_ONCE = 3; // the browser opens six connections to one host; the page's own requests need some
const TRIES = 6; // where the farm does not answer at all
const KINDS = /\.(png|jpe?g|webp|bmp|gif|tiff?|pdf)$/i;

let items = []; // what is not with the farm yet: { id, file, name, state, part, error, choices }
let running = 0;
let openFrom = 0; // the farm said: not before this time (ms)
let changed = () => {};
let arrived = () => {};

export const unsent = () => items;
export const pausedFor = () => Math.max(0, Math.ceil((openFrom - Date.now()) / 1000));

export function onSending(listeners) {
  ({ changed, arrived } = listeners);
  setInterval(() => items.some((item) => item.state === "paused") && changed(), 1000);
  addEventListener("beforeunload", (event) => {
    if (items.some((item) => !item.safe && item.state !== "failed")) event.preventDefault();
  });
}

const newId = () => crypto.randomUUID?.() || `${Date.now()}-${Math.random().toString(16).slice(2)}`; // none over plain HTTP from afar

export function send(files, choices) {
  const fresh = files.map((file) => ({ id: newId(), file, name: file.name || "pasted.png", state: "waiting", part: 0, choices, safe: false }));
  items.push(...fresh);
  changed();
  keep(fresh).then((safe) => fresh.forEach((item) => (item.safe = safe)));
  pump();
}

// What a reload cut off: the same Idempotency-Key, so that nothing is sent twice.
export async function resume() {
  const rest = await kept();
  items.push(...rest.map((item) => ({ ...item, state: "waiting", part: 0, safe: true })));
  if (rest.length) changed();
  pump();
}

export function drop(id) {
  const item = items.find((one) => one.id === id);
  item?.request?.abort();
  items = items.filter((one) => one.id !== id);
  forgotten(id);
  changed();
}

export function sendAgain(id) {
  const item = items.find((one) => one.id === id);
  if (item) Object.assign(item, { state: "waiting", error: "", tries: 0 });
  changed();
  pump();
}

function pump() {
  for (let n = running; n < AT_ONCE; n++) worker();
}

async function worker() {
  running++;
  try {
    for (;;) {
      const item = items.find((one) => one.state === "waiting" || one.state === "paused");
      if (!item) return;
      item.state = "sending";
      const wait = openFrom - Date.now();
      if (wait > 0) {
        item.state = "paused";
        changed();
        await sleep(Math.min(wait, 1000));
        continue;
      }
      changed();
      await one(item);
      changed();
    }
  } finally {
    running--;
  }
}

async function one(item) {
  const shown = key();
  const { status, body, after } = await post(item, shown);
  if (!items.includes(item)) return; // dropped meanwhile
  if (status === 200 || status === 202) {
    items = items.filter((other) => other !== item);
    forgotten(item.id);
    arrived(JSON.parse(body));
  } else if (status === 401) {
    item.state = "waiting";
    await askForKey(shown);
  } else if (status === 429 || status === 503) {
    item.state = "paused";
    openFrom = Math.max(openFrom, Date.now() + 1000 * retryAfter(after));
  } else if (status === 0 && (item.tries = (item.tries || 0) + 1) < TRIES) {
    item.state = "paused";
    openFrom = Math.max(openFrom, Date.now() + 1000 * item.tries);
  } else {
    item.state = "failed";
    item.error = status === 0 ? t("away") : refusal(status, body).message;
    item.hopeless = status >= 400 && status < 500; // the same would be answered again
    forgotten(item.id);
  }
}

// fetch tells nothing of how far an upload is.
function post(item, shown) {
  return new Promise((done) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(item.choices)) form.append(name, value);
    form.append("file", item.file, item.name);
    const request = new XMLHttpRequest();
    item.request = request;
    request.open("POST", "/v1/jobs");
    request.setRequestHeader("Idempotency-Key", item.id);
    if (shown) request.setRequestHeader("X-API-Key", shown);
    request.upload.onprogress = (event) => {
      item.part = event.lengthComputable ? event.loaded / event.total : 0;
      changed();
    };
    request.onloadend = () => done({ status: request.status, body: request.responseText, after: request.getResponseHeader("Retry-After") });
    request.send(form);
  });
}

// ------------------------------------------------------------------ what is dropped

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed)); // a hundred at a time
    if (some.length === 0) return found;
    for (const inner of some) found.push(...(await filesOf(inner)));
  }
}

// The files of a drop, folders opened: { files, leftOut }. Of a folder only what looks like a document; a file by itself is sent as it is.
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return { files: [...transfer.files], leftOut: 0 };
  const files = [];
  let leftOut = 0;
  for (const entry of entries) {
    const found = await filesOf(entry);
    const good = entry.isDirectory ? documents(found) : found;
    leftOut += found.length - good.length;
    files.push(...good);
  }
  return { files, leftOut };
}

export const documents = (files) => files.filter((file) => KINDS.test(file.name));

export const choicesKept = () => {
  try {
    return JSON.parse(store.get("ocrfarm-choices") || "{}");
  } catch {
    return {};
  }
};
