// What stands around a document: its name, the tools, the two panes.

import { $, closing, drawn, element } from "./dom.js";
import { t } from "./words.js";

export const FORMS = { txt: "TXT", md: "Markdown", json: "JSON", tsv: "TSV", hocr: "hOCR", alto: "ALTO", pdf: "PDF" };

const icon = (path) => drawn("svg", { viewBox: "0 0 24 24", "aria-hidden": "true", class: "sign" }, drawn("path", { d: path }));
const LEFT = "m14.5 6-6 6 6 6";
const RIGHT = "m9.5 6 6 6-6 6";

function button(label, work, content = label, properties = {}) {
  const named = content === label ? {} : { "aria-label": label, title: label, class: "icon" };
  return element("button", { type: "button", onclick: work, ...named, ...properties }, content);
}

// Fills `root`; the parts that change, by name. `reader`: what the tools work on.
export function frame(root, reader) {
  const ui = {};
  ui.name = element("h1", { id: "h-document", tabindex: -1 }, t("loading"));
  ui.badge = element("span", { class: "badge", role: "status" });
  ui.cached = element("span", { class: "badge cached", hidden: true }, t("cached"));
  ui.why = element("p", { class: "why", role: "alert", hidden: true });
  ui.making = element("span", { class: "quiet" });
  ui.download = downloads(reader);
  ui.copyAll = button(t("copy-all"), () => reader.copy(ui.copyAll, true));
  ui.again = button(t("again"), () => reader.act("again"), undefined, { hidden: true });
  ui.cancel = button(t("cancel"), () => reader.act("cancel"), undefined, { hidden: true });
  const remove = button(t("delete"), () => reader.act("delete"));
  ui.acts = element("div", { class: "acts", hidden: true }, ui.download, ui.copyAll, ui.again, ui.cancel, remove);
  const head = element(
    "header",
    { class: "reader-head" },
    element("a", { class: "back", href: "#/" }, icon(LEFT), t("back")),
    element("div", { class: "title" }, ui.name, ui.badge, ui.cached, ui.making),
    ui.acts,
  );
  ui.picture = element("div", { class: "pane picture", tabindex: 0, role: "region", "aria-label": t("picture") });
  ui.text = element("div", { class: "pane text-pane", role: "region", "aria-label": t("text") });
  ui.body = element("div", { class: "body" }, tools(ui, reader), element("div", { class: "panes" }, ui.picture, ui.text), edits(ui, reader));
  root.replaceChildren(head, ui.why, ui.body);
  reader.ui = ui;
  reader.editsTold();
  return ui;
}

function downloads(reader) {
  const list = element("ul", {});
  for (const [form, name] of Object.entries(FORMS)) {
    const get = () => {
      menu.open = false;
      $("summary", menu).focus();
      reader.download(form);
    };
    list.append(element("li", {}, element("button", { type: "button", "data-form": form, onclick: get }, name)));
  }
  const menu = element("details", { class: "menu", hidden: true }, element("summary", { class: "first" }, t("download")), list);
  return closing(menu);
}

function tools(ui, reader) {
  ui.page = element("input", { type: "number", min: 1, "aria-label": t("page"), onchange: () => reader.visit(Math.max(1, Number(ui.page.value) || 1)) });
  ui.total = element("span", { class: "quiet" });
  ui.previous = button(t("previous"), () => reader.turn(-1), icon(LEFT));
  ui.next = button(t("next"), () => reader.turn(1), icon(RIGHT));
  ui.pager = element("div", { class: "tool", role: "group", "aria-label": t("page"), hidden: true }, ui.previous, ui.page, ui.total, ui.next);
  ui.copyPage = button(t("copy-page"), () => reader.copy(ui.copyPage, false), undefined, { class: "apart" });
  const zoom = element(
    "div",
    { class: "tool", role: "group", "aria-label": t("page") },
    button(t("zoom-out"), () => reader.sheet.setZoom(reader.sheet.zoom / 1.25), icon("M6 12h12")),
    button(t("fit"), () => reader.sheet.setZoom(1)),
    button(t("zoom-in"), () => reader.sheet.setZoom(reader.sheet.zoom * 1.25), icon("M6 12h12M12 6v12")),
    ui.copyPage,
  );
  ui.threshold = element("input", { type: "range", id: "threshold", min: 0, max: 100, step: 1, oninput: () => reader.setThreshold(Number(ui.threshold.value) / 100) });
  ui.marked = element("output", { for: "threshold", class: "quiet" });
  ui.nextMarked = button(t("next-doubtful"), () => reader.nextDoubtful(), icon("M12 5v13m-5-5 5 5 5-5"));
  const threshold = element("div", { class: "tool grow" }, element("label", { for: "threshold" }, t("threshold")), ui.threshold, ui.marked, ui.nextMarked);
  ui.search = element("input", {
    type: "search",
    "aria-label": t("search"),
    placeholder: t("search"),
    spellcheck: "false",
    oninput: () => reader.search.run(ui.search.value.trim()),
    onkeydown: (event) => event.key === "Enter" && reader.search.step(event.shiftKey ? -1 : 1),
  });
  ui.count = element("output", { class: "quiet", role: "status" });
  ui.matchPrevious = button(t("previous-match"), () => reader.search.step(-1), icon("m6 14.5 6-6 6 6"), { disabled: true });
  ui.matchNext = button(t("next-match"), () => reader.search.step(1), icon("m6 9.5 6 6 6-6"), { disabled: true });
  const search = element("div", { class: "tool", role: "search" }, ui.search, ui.matchPrevious, ui.matchNext, ui.count);
  return element("div", { class: "tools" }, ui.pager, zoom, threshold, search);
}

function edits(ui, reader) {
  ui.editsText = element("span", { role: "status" });
  ui.edits = element("p", { class: "edits", hidden: true }, ui.editsText, button(t("revert"), () => reader.revert()));
  return ui.edits;
}
