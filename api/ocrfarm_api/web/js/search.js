// Searching in a document: over all its pages, from match to match.

import { sleep, tell } from "./dom.js";
import { ended } from "./events.js";
import { allLines, matches } from "./texts.js";
import { t } from "./words.js";

export class Search {
  constructor(reader) {
    this.reader = reader;
    this.wanted = "";
    this.found = []; // { number, line, start, end }
    this.at = -1;
    this.texts = null;
  }

  async run(wanted) {
    const reader = this.reader;
    this.wanted = wanted;
    await sleep(150); // while somebody types
    if (this.wanted !== wanted) return;
    try {
      if (wanted && (!this.texts || !ended(reader.job))) this.texts = await allLines(reader.job, reader.numbers);
    } catch (error) {
      return tell(error.message);
    }
    if (this.wanted !== wanted) return;
    this.found = wanted ? matches(this.texts, reader.edits, wanted) : [];
    this.at = -1;
    const here = this.found.findIndex((match) => match.number >= reader.number);
    this.to(here < 0 ? 0 : here);
  }

  step(by) {
    this.to(this.at + by);
  }

  to(n) {
    const ui = this.reader.ui;
    this.at = this.found.length ? (n + this.found.length) % this.found.length : -1;
    const match = this.found[this.at];
    ui.count.textContent = match ? t("found", { n: this.at + 1, all: this.found.length }) : this.wanted ? t("found-none") : "";
    ui.matchNext.disabled = ui.matchPrevious.disabled = !match;
    if (match && match.number !== this.reader.number) this.reader.visit(match.number);
    else this.show();
  }

  show() {
    const { lines, sheet, number } = this.reader;
    const now = this.found[this.at];
    const here = this.found.filter((match) => match.number === number);
    lines.showMatches(here, here.indexOf(now));
    sheet.showMatches(here);
    if (!now || now.number !== number) return;
    lines.reveal(now.line);
    sheet.pick(now.line);
  }
}
