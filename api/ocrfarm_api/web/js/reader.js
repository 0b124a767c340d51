// One document: its pages as picture and text side by side, each line linked to its box.

import { ask, download, save } from "./api.js";
import { $, say, store, tell } from "./dom.js";
import { ended, stream } from "./events.js";
import * as jobs from "./jobs.js";
import { isMine, nameOf } from "./list.js";
import { Lines } from "./lines.js";
import { FORMS, frame } from "./reader_frame.js";
import { Search } from "./search.js";
import { Sheet } from "./sheet.js";
import { Edits, allLines } from "./texts.js";
import { plainly, t } from "./words.js";

let reader = null; // the one that is open

export function openReader(id, number) {
  if (reader?.id === id) return reader.go(number || reader.number);
  closeReader();
  reader = new Reader(id, number || 1);
}

export function closeReader() {
  reader?.close();
  reader = null;
  jobs.look("");
}

class Reader {
  constructor(id, number) {
    this.id = id;
    this.number = number;
    this.pages = new Map();
    this.edits = new Edits(id);
    this.search = new Search(this);
    this.ui = frame($("#view-document"), this);
    this.sheet = new Sheet(this.ui.picture, { point: (i) => this.point(i, "picture"), pick: (i) => this.lines.focus(i) });
    this.lines = new Lines(this.ui.text, { point: (i) => this.point(i, "text"), pick: (i) => this.pick(i), edit: (i, text) => this.edit(i, text) });
    this.setThreshold(Number(store.get("ocrfarm-threshold") ?? 80));
    this.unlisten = jobs.listen((what, about) => about === id && this.heard(what));
    this.open();
  }

  async open() {
    try {
      await jobs.look(this.id, () => this.learn());
      this.head();
      await this.go(this.number, true);
    } catch (error) {
      if (!this.job) this.ui.name.textContent = t("documents");
      this.trouble(error);
    }
    if (reader === this) this.ui.name.focus({ preventScroll: true });
  }

  // The numbers of the pages of a document that has ended: what its stream tells before it closes.
  async learn() {
    const numbers = [];
    try {
      for await (const [event, data] of stream(`/v1/jobs/${this.id}/events`)) if (event === "page") numbers.push(data.number);
    } catch {
      const { pages } = await ask(`/v1/jobs/${this.id}/pages`).catch(() => ({ pages: [] }));
      numbers.push(...pages.map((page) => page.number));
    }
    jobs.learned(this.id, numbers);
  }

  close() {
    this.unlisten();
    this.sheet.close();
    $("#view-document").replaceChildren();
  }

  get job() {
    return jobs.get(this.id);
  }

  get numbers() {
    return [...jobs.pagesOf(this.id)].sort((a, b) => a - b);
  }

  heard(what) {
    if (what === "gone") return (location.hash = "#/");
    this.head();
    if (!this.pages.has(this.number) && jobs.pagesOf(this.id).has(this.number)) this.go(this.number, true);
    else if (this.ui.total.textContent !== t("page-of", { n: this.last() })) this.pager();
  }

  last() {
    const numbers = this.numbers;
    return Math.max(1, numbers.at(-1) || 0, ended(this.job) ? 0 : this.job.progress.pages_total || 0);
  }

  head() {
    const job = this.job;
    if (!job) return;
    this.ui.name.textContent = nameOf(job);
    document.title = `${nameOf(job)} · ocrfarm`;
    this.ui.badge.className = `badge ${job.state}`;
    const { pages_done: done, pages_total: all } = job.progress;
    this.ui.badge.textContent = !ended(job) && all > 1 ? `${t(job.state)} · ${t("pages-of", { done, all })}` : t(job.state);
    this.ui.cached.hidden = !job.cached;
    this.ui.acts.hidden = false;
    const why = job.error && (job.state === "failed" || job.state === "partial") ? plainly(job.error.code, job.error.message) : "";
    this.ui.why.textContent = why;
    this.ui.why.hidden = !why;
    const readable = job.state === "succeeded" || job.state === "partial";
    this.ui.download.hidden = !readable;
    this.ui.copyAll.hidden = !readable;
    this.ui.again.hidden = !ended(job);
    this.ui.cancel.hidden = ended(job);
    this.ui.body.hidden = job.state === "failed" && jobs.pagesOf(this.id).size <= 1;
  }

  // ------------------------------------------------------------------ pages

  async go(number, again = false) {
    if (number === this.number && !again) return;
    try {
      await this.turnTo(number);
    } catch (error) {
      this.trouble(error);
    }
  }

  trouble(error) {
    this.ui.why.textContent = error.status === 404 ? t("not-here") : error.message;
    this.ui.why.hidden = false;
    this.ui.body.hidden = this.pages.size === 0;
  }

  async turnTo(number) {
    this.number = number;
    this.pager();
    if (!this.pages.has(number)) {
      const { pages } = await ask(`/v1/jobs/${this.id}/pages?after=${number - 1}&limit=1`);
      if (pages[0]?.number === number) this.pages.set(number, pages[0]);
      if (reader !== this || this.number !== number) return; // turned on meanwhile
    }
    const page = this.pages.get(number) || null;
    this.sheet.show(this.id, page);
    this.lines.show(page, this.edits.of(number));
    this.setThreshold(this.lines.threshold);
    this.search.show();
    this.ui.text.scrollTop = 0;
  }

  pager() {
    const numbers = this.numbers;
    this.ui.page.value = this.number;
    this.ui.total.textContent = t("page-of", { n: this.last() });
    this.ui.previous.disabled = !numbers.some((n) => n < this.number);
    this.ui.next.disabled = !numbers.some((n) => n > this.number);
    this.ui.pager.hidden = this.last() <= 1;
  }

  turn(by) {
    const numbers = this.numbers;
    const to = by > 0 ? numbers.find((n) => n > this.number) : numbers.findLast((n) => n < this.number);
    if (to) this.visit(to);
  }

  // By the address, so that the browser's Back goes a page back.
  visit(number) {
    location.hash = `#/job/${this.id}/${number}`;
  }

  // ------------------------------------------------------------------ lines and boxes

  point(i, where) {
    this.sheet.point(i);
    this.lines.point(i);
    if (where === "picture" && i >= 0) this.lines.reveal(i);
  }

  pick(i) {
    this.sheet.pick(i);
  }

  setThreshold(percent) {
    const threshold = percent > 1 ? percent / 100 : percent;
    const shown = Math.round(threshold * 100);
    this.ui.threshold.value = shown;
    this.sheet.setThreshold(threshold);
    const n = this.lines.setThreshold(threshold);
    this.ui.marked.textContent = `${shown} % · ${t("doubtful", { n })}`;
    this.ui.nextMarked.disabled = n === 0;
    store.set("ocrfarm-threshold", `${shown}`);
  }

  nextDoubtful() {
    const lines = this.pages.get(this.number)?.lines || [];
    const from = Number(document.activeElement.closest?.("li[data-line]")?.dataset.line ?? this.lastDoubtful ?? -1);
    const order = [...lines.keys()].map((n) => (n + from + 1) % lines.length);
    const to = order.find((n) => this.lines.isDoubtful(lines[n]));
    if (to === undefined) return;
    this.lastDoubtful = to;
    this.lines.focus(to);
  }

  edit(i, text) {
    this.edits.set(this.number, i, text);
    this.editsTold();
  }

  editsTold() {
    const n = this.edits.count();
    this.ui.edits.hidden = n === 0;
    this.ui.editsText.textContent = t("edited", { n });
  }

  revert() {
    this.edits.clear();
    this.editsTold();
    this.lines.show(this.pages.get(this.number) || null, {});
    this.search.show();
  }

  // ------------------------------------------------------------------ what to do with it

  async textOf(everything) {
    if (!everything) return this.edits.applied(this.number, (this.pages.get(this.number)?.lines || []).map((line) => line.text)).join("\n");
    const pages = await allLines(this.job, this.numbers);
    return pages.map(({ number, lines }) => this.edits.applied(number, lines).join("\n")).join("\n\n");
  }

  async copy(button, everything) {
    const label = button.textContent;
    try {
      // Safari lets nobody copy after a pause: the promise itself is handed over.
      if (everything && globalThis.ClipboardItem) {
        const text = this.textOf(true).then((words) => new Blob([words], { type: "text/plain" }));
        await navigator.clipboard.write([new ClipboardItem({ "text/plain": text })]);
      } else await navigator.clipboard.writeText(await this.textOf(everything));
      button.textContent = t("copied");
      say(t("copied"));
    } catch {
      tell(t("not-copied"));
    }
    setTimeout(() => (button.textContent = label), 1500);
  }

  async download(form) {
    const name = FORMS[form];
    const told = () => {
      this.ui.making.textContent = t("making", { form: name });
      say(t("making", { form: name }));
    };
    try {
      if (form === "txt" && this.edits.count()) {
        const pages = await allLines(this.job, this.numbers);
        const text = pages.map((page) => this.edits.applied(page.number, page.lines).join("\n")).join("\f");
        save(new Blob([text], { type: "text/plain;charset=utf-8" }), `${nameOf(this.job)}.txt`);
      } else await download(`/v1/jobs/${this.id}/result?format=${form}`, `${nameOf(this.job)}.${form}`, told);
      say(t("saved", { form: name }));
    } catch (error) {
      tell(error.message);
    }
    this.ui.making.textContent = "";
  }

  async act(what) {
    try {
      if (what === "again") {
        const job = await jobs.again(this.id);
        isMine(job.id);
        location.hash = `#/job/${job.id}`;
      } else if (what === "cancel") await jobs.cancel(this.id);
      else {
        await jobs.remove(this.id);
        this.edits.clear();
        location.hash = "#/";
      }
    } catch (error) {
      tell(error.message);
    }
  }
}
