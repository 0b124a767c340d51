// The farm: what is alive, what waits, how fast it goes, drawn as it changes.

import { ask } from "./api.js";
import { $, drawn, element, sleep } from "./dom.js";
import { span, t } from "./words.js";

const KEPT_S = 600; // of the plots
const SILENT_MS = 10000; // a farm that says nothing for so long is not "idle"
const seen = []; // { at (s), rate, queue }
let last = null;
let trouble = "";
let shown = false;
let wake = () => {};

export async function watchFarm() {
  for (;;) {
    try {
      last = await ask("/v1/farm", { within: SILENT_MS }, 1);
      trouble = "";
      const at = Date.now() / 1000;
      seen.push({ at, rate: last.pages_per_minute, queue: last.queued_units });
      while (seen[0].at < at - KEPT_S) seen.shift();
    } catch (error) {
      trouble = error.message;
    }
    lamp();
    if (shown) draw();
    await Promise.race([sleep(document.hidden ? 15000 : shown ? 1500 : 4000), new Promise((done) => (wake = done))]);
  }
}

export function showFarm(on) {
  shown = on;
  if (!on) return;
  draw();
  wake();
}

export function redrawFarm() {
  lamp();
  if (shown) draw();
}

function lamp() {
  const place = $("#lamp");
  if (!last && !trouble) return;
  place.className = `lamp ${trouble || !last.slots ? "down" : "up"}`;
  const pages = last ? last.queued_units + last.running_units : 0;
  const text = trouble || (!last.slots ? t("farm-empty") : t(pages ? "farm-busy" : "farm-idle", { n: last.slots, pages }));
  if ($("#lamp-text").textContent !== text) $("#lamp-text").textContent = text;
}

function draw() {
  const root = $("#view-farm");
  if (!$("#h-farm", root)) root.append(element("header", { class: "farm-head" }, element("h1", { id: "h-farm", tabindex: -1 }), element("p", { class: "quiet" })), element("div", { class: "farm-body" }));
  $("#h-farm").textContent = t("farm");
  $(".farm-head p", root).textContent = t("farm-more");
  if (!last) return $(".farm-body", root).replaceChildren(element("p", { class: "quiet" }, trouble || t("asking")));
  $(".farm-body", root).replaceChildren(
    trouble ? element("p", { class: "why" }, trouble) : "",
    ...unread(),
    tiles(),
    element("div", { class: "plots" }, plot(t("plot-rate"), "rate"), plot(t("plot-queue"), "queue")),
    nodes(),
    more(),
  );
}

function tiles() {
  const rows = [
    [t("nodes"), last.nodes.length],
    [t("processes"), last.slots],
    [t("in-queue"), last.queued_units],
    [t("being-read"), last.running_units],
    [t("oldest"), last.oldest_queued_s === null ? "–" : span(last.oldest_queued_s)],
    [t("rate"), Math.round(last.pages_per_minute)],
    [t("total"), last.pages_total.toLocaleString()],
    [t("dead-letters"), last.dead_letters, last.dead_letters > 0],
  ];
  return element("dl", { class: "tiles" }, ...rows.map(([name, value, bad]) => element("div", { class: bad ? "tile bad" : "tile" }, element("dt", {}, name), element("dd", {}, `${value}`))));
}

// The last ten minutes, the newest on the right; one line, one scale.
function plot(title, what) {
  const [width, height, left, bottom] = [480, 150, 34, 20];
  const now = seen.at(-1).at;
  const most = Math.max(...seen.map((one) => one[what]));
  const top = niceTop(most);
  const x = (at) => left + ((at - (now - KEPT_S)) / KEPT_S) * (width - left - 6);
  const y = (value) => 8 + (1 - value / top) * (height - bottom - 8);
  const points = seen.map((one) => `${x(one.at).toFixed(1)},${y(one[what]).toFixed(1)}`);
  const label = t("plot-label", { what: title, now: Math.round(seen.at(-1)[what]), most: Math.round(most), minutes: t("minutes", { n: KEPT_S / 60 }) });
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "plot" });
  for (const value of [0, top / 2, top]) {
    svg.append(drawn("line", { x1: left, x2: width - 6, y1: y(value), y2: y(value), class: "grid" }));
    svg.append(drawn("text", { x: left - 6, y: y(value) + 4, class: "tick end" }, Number.isInteger(value) ? `${value}` : value.toFixed(1)));
  }
  for (const minutes of [10, 5, 0]) svg.append(drawn("text", { x: x(now - minutes * 60), y: height - 4, class: `tick ${minutes === 10 ? "start" : minutes ? "middle" : "end"}` }, minutes ? `−${minutes} min` : "0"));
  const first = x(seen[0].at).toFixed(1);
  svg.append(drawn("polygon", { points: `${first},${y(0)} ${points.join(" ")} ${x(now).toFixed(1)},${y(0)}`, class: "area" }));
  svg.append(drawn("polyline", { points: points.join(" "), class: "curve" }));
  svg.append(drawn("circle", { cx: x(now), cy: y(seen.at(-1)[what]), r: 3.5, class: "now" }));
  return element("figure", {}, element("figcaption", {}, title), svg);
}

function niceTop(most) {
  if (most <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 5, 10].map((n) => n * power).find((n) => n >= most);
}

function nodes() {
  if (last.nodes.length === 0) return element("p", { class: "empty" }, t("no-nodes"));
  const read = last.nodes.map((node) => node.info.pages_read || 0);
  const sum = read.reduce((a, b) => a + b, 0);
  const head = element("tr", {}, ...["node", "slots", "share", "machine", "speed", "profiles", "version"].map((name) => element("th", { scope: "col" }, t(name))));
  const rows = last.nodes.map((node, n) => {
    const part = sum ? read[n] / sum : 0;
    const bar = element("progress", { max: 1, value: part, "aria-label": `${t("share")}: ${node.name}` });
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, node.name, state(node)),
      element("td", { class: "number" }, `${node.slots}`),
      element("td", { class: "share" }, bar, element("span", {}, `${Math.round(100 * part)} % · ${t("pages", { n: read[n] })}`)),
      element("td", { class: "number" }, machine(node.info)),
      element("td", { class: "number" }, node.info.lines_per_s ? t("lines-a-second", { n: Math.round(node.info.lines_per_s) }) : "–"),
      element("td", {}, (node.info.reads || node.info.profiles || []).join(", ")),
      element("td", { title: node.info.commit || false }, node.version),
    );
  });
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  return element("div", { class: "table", tabindex: 0, role: "region", "aria-label": t("nodes") }, table);
}

const STATES = { draining: "node-draining", drained: "node-drained", away: "node-away" };

// What is not as usual: a node that was drained, one that is hot or slows itself down.
function state(node) {
  const told = [];
  if (STATES[node.state]) told.push(t(STATES[node.state]));
  if (node.info.temperature_c !== undefined) told.push(`${Math.round(node.info.temperature_c)} °C`);
  told.push(...(node.info.throttled || []));
  return told.length ? element("span", { class: "quiet" }, ` ${told.join(" · ")}`) : "";
}

function machine(info) {
  if (!info.cores) return "–";
  return `${t("cores", { n: info.cores })} · ${(info.memory_mb / 1024).toFixed(1)} GB`;
}

// Pages that nobody alive can read, whatever their turn.
function unread() {
  return (last.profiles || [])
    .filter((profile) => profile.waiting_for && last.slots)
    .map((profile) => element("p", { class: "why" }, t("nobody-reads", { n: profile.queued_units, profile: profile.name })));
}

function more() {
  const links = [["/flower", "link-flower"], ["/docs", "link-docs"], ["/metrics", "link-metrics"]];
  return element("nav", { class: "links", "aria-label": t("links") }, ...links.map(([href, name]) => element("a", { href }, t(name))));
}
