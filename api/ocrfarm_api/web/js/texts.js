// A document's text across its pages: what was corrected here, what is searched, copied and downloaded.

import { ask, good, remembered } from "./api.js";
import { store } from "./dom.js";
import { ended } from "./events.js";

// Corrections are the person's own until they are downloaded: they stay in this browser, by page and line; beyond this tab only where
// the key is remembered, or none is needed.
export class Edits {
  constructor(id) {
    this.name = `ocrfarm-edits:${id}`;
    try {
      this.all = JSON.parse(store.get(this.name, remembered()) || "{}");
    } catch {
      this.all = {};
    }
  }

  of(number) {
    return this.all[number] || {};
  }

  set(number, line, text) {
    const page = { ...this.all[number], [line]: text };
    if (text === undefined) delete page[line];
    if (Object.keys(page).length) this.all[number] = page;
    else delete this.all[number];
    this.write();
  }

  clear() {
    this.all = {};
    this.write();
  }

  count() {
    return Object.values(this.all).reduce((sum, page) => sum + Object.keys(page).length, 0);
  }

  write() {
    store.set(this.name, this.count() ? JSON.stringify(this.all) : null, remembered());
  }

  applied(number, lines) {
    const edits = this.of(number);
    return lines.map((text, i) => edits[i] ?? text);
  }
}

// The lines of every page that is done: [{ number, lines }]. One request: the text alone where the document has ended.
export async function allLines(job, numbers) {
  if (ended(job) && job.state === "succeeded") {
    const text = await (await good(`/v1/jobs/${job.id}/result?format=txt`)).text();
    const pages = text.split("\f");
    if (pages.length === numbers.length) return pages.map((page, n) => ({ number: numbers[n], lines: page.split("\n") }));
  }
  const { pages } = await ask(`/v1/jobs/${job.id}/pages`);
  return pages.map((page) => ({ number: page.number, lines: page.lines.map((line) => line.text) }));
}

// Every place where `wanted` stands: [{ number, line, start, end }].
export function matches(pages, edits, wanted) {
  const found = [];
  const small = wanted.toLocaleLowerCase();
  if (!small) return found;
  for (const { number, lines } of pages) {
    edits.applied(number, lines).forEach((text, line) => {
      const low = text.toLocaleLowerCase();
      for (let at = low.indexOf(small); at >= 0; at = low.indexOf(small, at + small.length)) found.push({ number, line, start: at, end: at + small.length });
    });
  }
  return found;
}
