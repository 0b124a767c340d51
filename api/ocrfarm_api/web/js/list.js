// The list of documents: those on their way to the farm, and the farm's own, newest first.

import { $, element, say, tell } from "./dom.js";
import { ended } from "./events.js";
import * as jobs from "./jobs.js";
import { drop, pausedFor, sendAgain, unsent } from "./sending.js";
import { bytes, plainly, span, t, when } from "./words.js";

const rows = new Map(); // by id: { root, drawn }
const mine = new Set(); // ids that this page sent since it was opened
let planned = 0;

export const nameOf = (job) => job.filename || t("nameless");

export function isMine(id) {
  mine.add(id);
}

// Many changes are one drawing.
export function redraw() {
  planned ||= requestAnimationFrame(() => {
    planned = 0;
    draw();
  });
}

export function relabel() {
  rows.clear();
  $("#list").replaceChildren();
  draw();
}

function draw() {
  const list = $("#list");
  const wanted = [...unsent().map(outgoing), ...jobs.newestFirst().map(taken)];
  const ids = new Set(wanted.map((row) => row.id));
  for (const [id, row] of rows) {
    if (ids.has(id)) continue;
    row.root.remove();
    rows.delete(id);
  }
  let place = list.firstElementChild;
  for (const row of wanted) {
    const root = shown(row);
    if (root === place) place = place.nextElementSibling;
    else list.insertBefore(root, place);
  }
  $("#empty").hidden = wanted.length > 0 || !jobs.loaded();
  $("#drop").classList.toggle("small", wanted.length > 0);
  $("#more").hidden = !jobs.older();
  overall();
}

function overall() {
  const sent = [...mine].map(jobs.get).filter(Boolean);
  const waiting = unsent();
  const refused = waiting.filter((item) => item.state === "failed").length;
  const all = sent.length + waiting.length;
  const done = sent.filter(ended).length + refused;
  const failed = sent.filter((job) => job.state === "failed").length + refused;
  $("#overall").hidden = all < 2;
  const text = [t("overall-text", { done, all }), failed && t("overall-failed", { n: failed })].filter(Boolean).join(" · ");
  if ($("#overall-text").textContent !== text) $("#overall-text").textContent = text;
  $("#overall-bar").max = Math.max(1, all);
  $("#overall-bar").value = done;
}

// ------------------------------------------------------------------ what a row says

function outgoing(item) {
  const acts = item.state === "failed" ? [["delete", () => drop(item.id)]] : [["cancel", () => drop(item.id)]];
  if (item.state === "failed" && !item.hopeless) acts.unshift(["send-again", () => sendAgain(item.id)]);
  return {
    id: item.id,
    name: item.name,
    state: item.state === "paused" ? "waiting" : item.state,
    facts: [bytes(item.file.size), item.state === "paused" && pausedFor() > 0 && t("paused", { n: pausedFor() })],
    why: item.error,
    part: item.state === "sending" ? item.part || undefined : null,
    acts,
  };
}

function taken(job) {
  const { pages_done: done, pages_total: total } = job.progress;
  const over = ended(job);
  const acts = [];
  if (!over) acts.push(["cancel", () => act(() => jobs.cancel(job.id))]);
  else if (job.state !== "succeeded" && (job.state !== "failed" || job.error?.retryable !== false)) acts.push(["again", () => act(() => jobs.again(job.id).then((made) => isMine(made.id)))]);
  acts.push(["delete", () => act(() => remove(job))]);
  return {
    id: job.id,
    name: nameOf(job),
    href: `#/job/${job.id}`,
    state: job.state,
    cached: job.cached,
    facts: [
      job.size && bytes(job.size),
      over ? total > 1 && t("pages", { n: total }) : total > 1 && t("pages-of", { done, all: total }),
      !over && job.queue_position > 0 && t("ahead", { n: job.queue_position }),
      job.waiting_for && t("waits-for-node"),
      over && !job.cached && job.started_at && span(Math.max(0, job.ended_at - job.started_at)),
      when(job.created_at),
    ],
    why: (job.state === "failed" || job.state === "partial") && job.error ? plainly(job.error.code, job.error.message) : "",
    part: over ? null : total > 1 ? done / total : job.state === "running" ? undefined : null,
    acts,
  };
}

async function act(work) {
  try {
    await work();
  } catch (error) {
    tell(error.message);
  }
}

// The focus goes to the row that comes next, not to nowhere.
async function remove(job) {
  const root = rows.get(job.id)?.root;
  const next = root?.nextElementSibling || root?.previousElementSibling;
  const focused = root?.contains(document.activeElement);
  await jobs.remove(job.id);
  say(t("deleted", { name: nameOf(job) }));
  if (focused) (next?.querySelector("a, button") || $("#pick")).focus();
}

// ------------------------------------------------------------------ a row

function shown(row) {
  const known = rows.get(row.id);
  const print = JSON.stringify({ ...row, acts: row.acts.map(([name]) => name), part: undefined });
  if (known?.print === print) {
    bar(known.root, row.part);
    return known.root;
  }
  const root = known?.root || element("li", { class: "doc", "data-id": row.id });
  const had = known && root.contains(document.activeElement) ? document.activeElement.dataset.act : null;
  const name = row.href ? element("a", { href: row.href, class: "name", "data-act": "open" }, row.name) : element("span", { class: "name" }, row.name);
  root.dataset.state = row.state;
  root.replaceChildren(
    element("div", { class: "what" }, name, element("p", { class: "facts" }, row.facts.filter(Boolean).join(" · ")), row.why ? element("p", { class: "why" }, row.why) : null),
    element("div", { class: "badges" }, row.cached ? element("span", { class: "badge cached" }, t("cached")) : null, element("span", { class: `badge ${row.state}` }, t(row.state))),
    element(
      "div",
      { class: "acts" },
      ...row.acts.map(([act, work]) => element("button", { type: "button", "data-act": act, "aria-label": t("about-doc", { act: t(act), name: row.name }), onclick: work }, t(act))),
    ),
  );
  bar(root, row.part);
  if (had !== null) (root.querySelector(`[data-act="${had}"]`) || root.querySelector("a, button"))?.focus();
  rows.set(row.id, { root, print });
  return root;
}

// `part`: 0..1; undefined: it runs, nobody knows how far; null: no bar.
function bar(root, part) {
  let found = $("progress", root);
  if (part === null) return found?.remove();
  if (!found) root.append((found = element("progress", { max: 1, "aria-label": $(".name", root).textContent })));
  if (part === undefined) found.removeAttribute("value");
  else found.value = part;
}
