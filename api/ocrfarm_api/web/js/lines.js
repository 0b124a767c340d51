// The text of one page, line by line: to be read, corrected and copied. One line at a time is a stop of the Tab key; the arrows go on from there.

import { element } from "./dom.js";
import { plainly, t } from "./words.js";

const highlights = "highlights" in CSS;

// Whether a browser knows editing without formatting; else what is pasted is made plain by hand.
const PLAIN = (() => {
  const probe = document.createElement("div");
  probe.contentEditable = "true";
  try {
    probe.contentEditable = "plaintext-only";
  } catch {
    return "true";
  }
  return probe.contentEditable;
})();

export class Lines {
  // `on`: { point(line or -1), pick(line), edit(line, text) }
  constructor(root, on) {
    this.root = root;
    this.on = on;
    this.threshold = 0;
    this.page = null;
    root.addEventListener("pointerover", (event) => this.on.point(this.indexOf(event.target)));
    root.addEventListener("pointerleave", () => this.on.point(-1));
    root.addEventListener("focusin", (event) => this.entered(event));
    root.addEventListener("focusout", (event) => this.left(event));
    root.addEventListener("keydown", (event) => this.pressed(event));
    root.addEventListener("paste", (event) => this.pasted(event));
  }

  indexOf(target) {
    const row = target.closest?.("li[data-line]");
    return row ? Number(row.dataset.line) : -1;
  }

  text(i) {
    return this.root.querySelector(`li[data-line="${i}"] .text`);
  }

  // `page`: null while it is not read; `edits`: text by line.
  show(page, edits) {
    this.page = page;
    if (!page) return this.root.replaceChildren(element("p", { class: "quiet note" }, t("not-yet")));
    if (page.error) return this.root.replaceChildren(element("p", { class: "why note" }, t("page-failed", { why: plainly(page.error.code, page.error.message) })));
    if (page.lines.length === 0) return this.root.replaceChildren(element("p", { class: "quiet note" }, t("nothing")));
    const list = element("ol", { class: "lines", "aria-label": t("text") });
    page.lines.forEach((line, i) => list.append(this.row(line, i, edits[i])));
    this.root.replaceChildren(list);
    this.setThreshold(this.threshold);
  }

  row(line, i, edited) {
    const sure = Math.round(line.confidence * 100);
    const told = [t("sure", { n: line.confidence.toFixed(3) }), line.certainty != null && t("certain", { n: line.certainty.toFixed(3) }), t("read-by", { model: line.model })];
    const text = element("div", { class: "text", role: "textbox", "aria-label": t("line-label", { n: i + 1, sure }), tabindex: i === 0 ? 0 : -1, spellcheck: "false", contenteditable: PLAIN }, edited ?? line.text);
    const row = element("li", { "data-line": i }, element("span", { class: "sure", "aria-hidden": "true", title: told.filter(Boolean).join(" · ") }, `${sure}`), text);
    row.classList.toggle("edited", edited !== undefined);
    return row;
  }

  entered(event) {
    const i = this.indexOf(event.target);
    if (i < 0) return;
    for (const other of this.root.querySelectorAll(".text")) other.tabIndex = -1;
    this.text(i).tabIndex = 0;
    this.on.pick(i);
  }

  left(event) {
    const i = this.indexOf(event.target);
    if (i < 0 || !event.target.classList.contains("text")) return;
    const text = event.target.textContent.replace(/\s*\n\s*/g, " ");
    if (text !== event.target.textContent) event.target.textContent = text;
    this.changed(i, text);
  }

  changed(i, text) {
    const same = text === this.page.lines[i].text;
    this.root.querySelector(`li[data-line="${i}"]`).classList.toggle("edited", !same);
    this.on.edit(i, same ? undefined : text);
  }

  pressed(event) {
    const i = this.indexOf(event.target);
    if (i < 0 || event.isComposing) return; // an input method's Enter is its own
    const to = { ArrowUp: i - 1, ArrowDown: i + 1, Enter: i + 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.focus(to);
    } else if (event.key === "Escape") {
      event.target.textContent = this.page.lines[i].text;
      this.changed(i, this.page.lines[i].text);
    }
  }

  pasted(event) {
    if (PLAIN !== "true" || this.indexOf(event.target) < 0) return;
    event.preventDefault();
    const selection = getSelection();
    if (!selection.rangeCount) return;
    selection.deleteFromDocument();
    selection.getRangeAt(0).insertNode(document.createTextNode(event.clipboardData.getData("text/plain")));
    selection.collapseToEnd();
  }

  focus(i) {
    this.text(i)?.focus();
  }

  // The line that the pointer is on, here or in the picture.
  point(i) {
    this.root.querySelector("li.pointed")?.classList.remove("pointed");
    const row = this.root.querySelector(`li[data-line="${i}"]`);
    row?.classList.add("pointed");
    return row;
  }

  reveal(i) {
    this.root.querySelector(`li[data-line="${i}"]`)?.scrollIntoView({ block: "nearest" });
  }

  isDoubtful(line) {
    return line.confidence < this.threshold;
  }

  // How many lines are marked.
  setThreshold(threshold) {
    this.threshold = threshold;
    if (!this.page?.lines) return 0;
    const words = [];
    let marked = 0;
    this.page.lines.forEach((line, i) => {
      const text = this.text(i);
      if (!text) return;
      const low = this.isDoubtful(line);
      marked += low;
      text.closest("li").classList.toggle("low", low);
      words.push(...this.doubtfulWords(line, text));
    });
    paint("unsure", words);
    return marked;
  }

  doubtfulWords(line, text) {
    const node = text.firstChild;
    if (!highlights || !node || node.data !== line.text) return []; // edited: the words stand elsewhere
    const found = [];
    let from = 0;
    for (const word of line.words) {
      const at = line.text.indexOf(word.text, from);
      if (at < 0) continue;
      from = at + word.text.length;
      if (word.confidence < this.threshold) found.push(range(node, at, from));
    }
    return found;
  }

  // `matches`: [{ line, start, end }] of this page; `now`: which of them is looked at, or -1.
  showMatches(matches, now) {
    for (const row of this.root.querySelectorAll("li.found")) row.classList.remove("found");
    const ranges = matches.map(({ line, start, end }) => {
      const text = this.text(line);
      text?.closest("li").classList.add("found");
      const node = text?.firstChild;
      return node && node.data?.length >= end ? range(node, start, end) : null;
    });
    paint("found", ranges.filter((found, n) => found && n !== now));
    paint("found-now", [ranges[now]].filter(Boolean));
  }
}

function range(node, start, end) {
  const made = new Range();
  made.setStart(node, start);
  made.setEnd(node, end);
  return made;
}

function paint(name, ranges) {
  if (highlights) CSS.highlights.set(name, new Highlight(...ranges));
}
