// The page: what is shown by its address, the farm's choices, taking documents, theme and language.

import { ask, forget, key } from "./api.js";
import { $, element, say, store, tell } from "./dom.js";
import { ended } from "./events.js";
import { redrawFarm, showFarm, watchFarm } from "./farm.js";
import * as jobs from "./jobs.js";
import { isMine, nameOf, redraw, relabel } from "./list.js";
import { closeReader, openReader } from "./reader.js";
import { choicesKept, documents, dropped, onSending, resume, send } from "./sending.js";
import { language, t, translate } from "./words.js";

// ------------------------------------------------------------------ views, by the address: #/, #/job/ID/PAGE, #/farm

let view = "";
let listAt = 0; // how far down the list was when a document was opened

function route() {
  const [, name = "", id = "", number = ""] = location.hash.split("/");
  const wanted = name === "job" && /^job_[0-9a-f]{32}$/.test(id) ? "document" : name === "farm" ? "farm" : "documents";
  if (view === "documents") listAt = scrollY;
  for (const one of ["documents", "document", "farm"]) $(`#view-${one}`).hidden = one !== wanted;
  for (const link of document.querySelectorAll(".top nav a[href^='#']")) {
    const current = link.getAttribute("href") === (wanted === "farm" ? "#/farm" : "#/");
    if (current) link.setAttribute("aria-current", wanted === "document" ? "true" : "page");
    else link.removeAttribute("aria-current");
  }
  if (wanted !== "document") {
    closeReader();
    document.title = wanted === "farm" ? `${t("farm")} · ocrfarm` : "ocrfarm";
  }
  showFarm(wanted === "farm");
  if (wanted === "document") openReader(id, Number(number) || 0);
  if (wanted === "documents") redraw();
  const moved = view && view !== wanted;
  view = wanted;
  if (!moved) return;
  if (wanted !== "document") $(`#h-${wanted}`)?.focus({ preventScroll: true });
  scrollTo(0, wanted === "documents" ? listAt : 0);
}

// ------------------------------------------------------------------ taking documents

function take(files, leftOut = 0) {
  if (leftOut) tell(t("left-out", { n: leftOut }));
  if (files.length === 0) return;
  const choices = { profile: $("#profile").value, layout: $("#layout").value };
  for (const name of Object.keys(choices)) if (!choices[name]) delete choices[name];
  send(files, choices);
  say(t("taken", { n: files.length }));
  if (view !== "documents") location.hash = "#/";
}

function doors() {
  let inside = 0;
  const over = (on) => $("#drop").classList.toggle("over", on);
  const ofFiles = (event) => [...event.dataTransfer.types].includes("Files");
  addEventListener("dragenter", (event) => {
    if (!ofFiles(event)) return;
    event.preventDefault();
    inside++;
    over(true);
  });
  addEventListener("dragleave", (event) => ofFiles(event) && --inside <= 0 && ((inside = 0), over(false)));
  addEventListener("dragover", (event) => ofFiles(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!ofFiles(event)) return;
    event.preventDefault();
    inside = 0;
    over(false);
    const { files, leftOut } = await dropped(event.dataTransfer);
    take(files, leftOut);
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    take([...event.clipboardData.files]);
  });
  $("#pick").addEventListener("click", () => $("#files").click());
  $("#pick-folder").addEventListener("click", () => $("#folder").click());
  $("#files").addEventListener("change", ({ target }) => {
    take([...target.files]);
    target.value = "";
  });
  $("#folder").addEventListener("change", ({ target }) => {
    const all = [...target.files];
    const good = documents(all);
    target.value = "";
    take(good, all.length - good.length);
  });
  if (matchMedia("(pointer: coarse)").matches) $("#pick-folder").hidden = true; // phones have no folders to give
}

async function choices() {
  const chosen = choicesKept();
  const select = $("#profile");
  try {
    const profiles = await ask("/v1/profiles", {}, 60);
    for (const { name, default: usual } of profiles) select.append(element("option", { value: name, selected: chosen.profile ? chosen.profile === name : usual }, name));
    const about = () => ($("#profile-text").textContent = profiles.find((profile) => profile.name === select.value)?.description || "");
    select.addEventListener("change", about);
    about();
  } catch (error) {
    tell(error.message);
  }
  if (chosen.layout) $("#layout").value = chosen.layout;
  const keep = () => store.set("ocrfarm-choices", JSON.stringify({ profile: select.value, layout: $("#layout").value }));
  for (const one of [select, $("#layout")]) one.addEventListener("change", keep);
}

// ------------------------------------------------------------------ theme, language

function switches() {
  $("#theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    store.set("ocrfarm-theme", root.dataset.theme);
  });
  $("#language").addEventListener("click", () => speak(language() ? "en" : "zh-Hans"));
  $("#forget").addEventListener("click", forget);
  $("#forget").hidden = !key();
}

function speak(chosen) {
  if (chosen) {
    document.documentElement.lang = chosen;
    store.set("ocrfarm-language", chosen);
  }
  const other = $("#language");
  const chinese = language() === 1;
  other.textContent = chinese ? "English" : "中文";
  other.lang = chinese ? "en" : "zh-Hans";
  other.setAttribute("aria-label", chinese ? "Switch to English" : "切换到中文");
  translate();
  relabel();
  redrawFarm();
  if (chosen && view === "document") {
    closeReader();
    route();
  }
}

// ------------------------------------------------------------------ go

const known = new Map(); // states, so that an end is told once
jobs.listen((what, id) => {
  redraw();
  const job = jobs.get(id);
  if (what !== "job" || !job) return;
  const before = known.get(id);
  known.set(id, job.state);
  if (before && before !== job.state && ended(job)) say(t("is-done", { name: nameOf(job), state: t(job.state) }));
});

onSending({
  changed: redraw,
  arrived: (job) => {
    isMine(job.id);
    jobs.take(job);
  },
});

async function list() {
  try {
    await jobs.load();
  } catch (error) {
    tell(error.message);
  }
  redraw();
}

switches();
speak();
doors();
choices();
watchFarm();
resume();
addEventListener("hashchange", route);
route();
list();
$("#more").addEventListener("click", () => jobs.load(true).then(redraw, (error) => tell(error.message)));
setInterval(() => !document.hidden && jobs.load().catch(() => {}), 20000); // what others, or the command line, sent
document.addEventListener("visibilitychange", () => !document.hidden && jobs.load().catch(() => {}));
