// Talking to the farm: the API key where it asks for one, errors as sentences, patience where it is busy.

import { $, element, sleep, store } from "./dom.js";
import { plainly, t } from "./words.js";

export class Refused extends Error {
  constructor(message, { code = "", status = 0, retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { code, status, retryAfter });
  }
}

// ------------------------------------------------------------------ the key: in this tab, or on this device where somebody says so

const KEPT = "ocrfarm-key";
let given = null; // a promise, while somebody is asked for a key

export const key = () => store.get(KEPT, false) || store.get(KEPT) || "";
export const remembered = () => Boolean(store.get(KEPT)) || !key();

function keep(text, forever) {
  store.set(KEPT, text || null, false);
  store.set(KEPT, (forever && text) || null);
  $("#forget").hidden = !text;
}

// With the key goes what it showed: corrections, and documents that were not sent yet.
export function forget() {
  keep("");
  store.clear("ocrfarm-edits:");
  indexedDB.deleteDatabase("ocrfarm");
  location.reload();
}

// The farm refused `refused` (an empty text: no key). Settles when another one was typed; many requests wait for one answer.
export function askForKey(refused) {
  if (key() && key() !== refused) return Promise.resolve(); // typed meanwhile
  if (given) return given;
  keep("");
  const form = $("#key-box");
  $("#key-why").textContent = t(refused ? "key-refused" : "key-ask");
  form.hidden = false;
  $("#key").focus();
  given = new Promise((done) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      const text = $("#key").value.trim();
      if (!/^[\x21-\x7e]{1,200}$/.test(text)) return; // what no header can carry is no key
      $("#key").value = "";
      form.hidden = true;
      keep(text, $("#keep-key").checked);
      given = null;
      done();
    };
  });
  return given;
}

// ------------------------------------------------------------------ requests

export const retryAfter = (text) => Math.min(120, Math.max(1, Number(text) || 1));

// `within`: milliseconds that the farm has to answer; not the person who is asked for a key.
export async function request(path, { within = 0, ...options } = {}) {
  for (;;) {
    const shown = key();
    const limit = within ? { signal: AbortSignal.timeout(within) } : {};
    const headers = { ...options.headers, ...(shown ? { "X-API-Key": shown } : {}) };
    const answer = await fetch(path, { ...options, ...limit, headers });
    if (answer.status !== 401) return answer;
    await askForKey(shown);
  }
}

export function refusal(status, body, after) {
  let problem = {};
  try {
    problem = JSON.parse(body);
  } catch {
    // a proxy's own page: its status must do
  }
  const message = plainly(problem.error?.code || problem.code, problem.detail) || t("answered", { status });
  return new Refused(message, { code: problem.code, status, retryAfter: after ? retryAfter(after) : 0 });
}

const patient = (status) => status === 503 || status === 429;

// An answer that is good (2xx), or Refused with a sentence; a farm that is busy or away is asked again. `stop`: an AbortSignal.
export async function good(path, options = {}, tries = 5) {
  for (let n = 1; ; n++) {
    let answer;
    try {
      answer = await request(path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (n >= tries) throw new Refused(t("away"));
      await sleep(500 * n);
      continue;
    }
    if (answer.ok) return answer;
    const refused = refusal(answer.status, await answer.text(), answer.headers.get("Retry-After"));
    if (!patient(answer.status) || n >= tries) throw refused;
    await sleep(1000 * refused.retryAfter);
  }
}

export async function ask(path, options, tries) {
  const answer = await good(path, options, tries);
  return answer.status === 204 ? null : answer.json();
}

// What a worker makes on first asking: 202 until it is there. `told` is called once where it takes a while.
export async function made(path, { signal, told } = {}) {
  for (let n = 0; ; n++) {
    const answer = await good(path, { signal });
    if (answer.status !== 202) return answer;
    if (n === 0 && told) told();
    await sleep(Math.min(3000, 1000 * retryAfter(answer.headers.get("Retry-After"))));
    signal?.throwIfAborted();
  }
}

// ------------------------------------------------------------------ files for the person

export function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 30000);
}

// A link cannot send a key: the file is fetched, and handed to the browser from here.
export async function download(path, fallback, told) {
  const answer = await made(path, { told });
  const said = answer.headers.get("Content-Disposition") || "";
  const wide = /filename\*=UTF-8''([^;]+)/.exec(said);
  const plain = /filename="([^"]*)"/.exec(said);
  save(await answer.blob(), wide ? decodeURIComponent(wide[1]) : plain ? plain[1] : fallback);
}
