// The picture of one page with a box around each line. Until it has come, and where there is none, each line's text stands where it was found.

import { made } from "./api.js";
import { drawn, element } from "./dom.js";
import { t } from "./words.js";

const KEPT = 8; // pictures that are kept; each is a file in memory
const [SMALL, LARGE] = [1600, 3200]; // pixels of width: for the window's width, and to look closely

export class Sheet {
  // `on`: { point(line or -1), pick(line) }
  constructor(root, on) {
    this.root = root;
    this.on = on;
    this.zoom = 1; // of the width there is
    this.pictures = new Map(); // by address: a blob's URL
    this.page = null;
    this.stop = new AbortController();
    root.addEventListener("pointerover", (event) => this.on.point(indexOf(event.target)));
    root.addEventListener("pointerleave", () => this.on.point(-1));
    root.addEventListener("click", (event) => indexOf(event.target) >= 0 && this.on.pick(indexOf(event.target)));
    root.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    root.addEventListener("keydown", (event) => this.pressed(event));
  }

  show(id, page) {
    this.stop.abort();
    this.stop = new AbortController();
    this.id = id;
    this.page = page;
    if (!page || !page.width || !page.height) return this.root.replaceChildren();
    this.boxes = drawn("g", {});
    this.words = drawn("g", { class: "stand-in" });
    page.lines.forEach((line, i) => {
      const points = line.polygon.map((point) => point.join(",")).join(" ");
      this.boxes.append(drawn("polygon", { points, "data-line": i, class: "box" }));
      this.words.append(standIn(line));
    });
    const svg = drawn("svg", { viewBox: `0 0 ${page.width} ${page.height}`, "aria-hidden": "true", focusable: "false" }, this.words, this.boxes);
    this.paper = element("div", { class: "paper" }, svg);
    this.paper.style.aspectRatio = `${page.width} / ${page.height}`;
    this.note = element("p", { class: "quiet note", hidden: true });
    this.root.replaceChildren(this.paper, this.note);
    this.setZoom(this.zoom);
    this.setThreshold(this.threshold);
    this.fetch(page, this.stop.signal);
  }

  async fetch(page, signal) {
    const width = this.zoom > 1.3 && page.width > SMALL ? LARGE : SMALL;
    const path = `/v1/jobs/${this.id}/image?page=${page.number}&width=${width}`;
    try {
      if (!this.pictures.has(path)) {
        const answer = await made(`${path}&wait=5`, { signal });
        this.keep(path, URL.createObjectURL(await answer.blob()));
      }
      const image = element("img", { alt: t("picture"), src: this.pictures.get(path) });
      await image.decode();
      if (signal.aborted) return;
      this.paper.querySelector("img")?.remove();
      this.paper.prepend(image);
      this.paper.classList.add("pictured");
      this.words.remove();
    } catch (error) {
      if (signal.aborted || error.name === "AbortError" || this.paper.classList.contains("pictured")) return;
      this.note.textContent = t("no-picture");
      this.note.hidden = false;
    }
  }

  keep(path, url) {
    this.pictures.set(path, url);
    if (this.pictures.size <= KEPT) return;
    const [oldest, old] = this.pictures.entries().next().value;
    this.pictures.delete(oldest);
    URL.revokeObjectURL(old);
  }

  close() {
    this.stop.abort();
    for (const url of this.pictures.values()) URL.revokeObjectURL(url);
    this.pictures.clear();
  }

  // ------------------------------------------------------------------ zoom

  setZoom(zoom) {
    const before = this.zoom;
    this.zoom = Math.min(6, Math.max(0.25, zoom));
    if (!this.paper) return;
    // What is in the middle stays in the middle.
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.root;
    const scale = this.zoom / before;
    this.paper.style.width = `${(100 * this.zoom).toFixed(2)}%`;
    this.root.scrollLeft = (scrollLeft + clientWidth / 2) * scale - clientWidth / 2;
    this.root.scrollTop = (scrollTop + clientHeight / 2) * scale - clientHeight / 2;
    const sharper = this.page.width > SMALL && this.zoom > 1.3 && before <= 1.3;
    if (sharper) this.fetch(this.page, this.stop.signal);
  }

  wheel(event) {
    if (!event.ctrlKey) return;
    event.preventDefault();
    this.setZoom(this.zoom * Math.exp(-event.deltaY / 300));
  }

  pressed(event) {
    const zoom = { "+": this.zoom * 1.25, "=": this.zoom * 1.25, "-": this.zoom / 1.25, 0: 1 }[event.key];
    if (zoom === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.setZoom(zoom);
  }

  // ------------------------------------------------------------------ boxes

  box(i) {
    return this.boxes?.querySelector(`[data-line="${i}"]`);
  }

  point(i) {
    this.boxes?.querySelector(".pointed")?.classList.remove("pointed");
    this.box(i)?.classList.add("pointed");
  }

  pick(i) {
    this.boxes?.querySelector(".picked")?.classList.remove("picked");
    const box = this.box(i);
    if (!box) return;
    box.classList.add("picked");
    this.reveal(box);
  }

  // Into view inside of its own pane; the page itself does not move.
  reveal(box) {
    const at = box.getBoundingClientRect();
    const pane = this.root.getBoundingClientRect();
    const margin = 40;
    if (at.top < pane.top + margin) this.root.scrollTop += at.top - pane.top - margin;
    else if (at.bottom > pane.bottom - margin) this.root.scrollTop += at.bottom - pane.bottom + margin;
    if (at.left < pane.left) this.root.scrollLeft += at.left - pane.left - margin;
    else if (at.right > pane.right && at.width < pane.width) this.root.scrollLeft += at.right - pane.right + margin;
  }

  setThreshold(threshold) {
    this.threshold = threshold;
    this.page?.lines.forEach((line, i) => this.box(i)?.classList.toggle("low", line.confidence < threshold));
  }

  showMatches(matches) {
    for (const box of this.boxes?.querySelectorAll(".found") || []) box.classList.remove("found");
    for (const { line } of matches) this.box(line)?.classList.add("found");
  }
}

function indexOf(target) {
  return target.dataset?.line === undefined ? -1 : Number(target.dataset.line);
}

// A line's text in the place and width of its box.
function standIn(line) {
  const [first, second] = line.polygon;
  const last = line.polygon[line.polygon.length - 1];
  const wide = Math.hypot(second[0] - first[0], second[1] - first[1]);
  const high = Math.hypot(last[0] - first[0], last[1] - first[1]);
  const turn = (Math.atan2(second[1] - first[1], second[0] - first[0]) * 180) / Math.PI;
  return drawn("text", { x: first[0], y: first[1], dy: high * 0.78, "font-size": high * 0.8, textLength: wide || null, lengthAdjust: "spacingAndGlyphs", transform: `rotate(${turn.toFixed(2)} ${first[0]} ${first[1]})` }, line.text);
}
