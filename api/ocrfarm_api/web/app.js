// The drop page: sends documents to the farm, shows their pages as they are read. Text from documents is only ever put in as text.

const $ = (selector, root = document) => root.querySelector(selector);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const ENDED = new Set(["succeeded", "partial", "failed", "cancelled"]);
const SENDING = 3; // uploads at a time; the browser opens six connections to one host
let watching = 0;

class Refused extends Error {}

// ------------------------------------------------------------------ the API key, where the farm asks for one

const KEPT = "ocrfarm-key"; // in this tab alone, and gone with it
let given = null; // a promise, while somebody is asked for a key

function key() {
  try {
    return sessionStorage.getItem(KEPT) || "";
  } catch {
    return ""; // a browser that keeps nothing
  }
}

function keep(text) {
  try {
    if (text) sessionStorage.setItem(KEPT, text);
    else sessionStorage.removeItem(KEPT);
  } catch {
    // it is asked for again at the next page
  }
  $("#forget").hidden = !text;
}

// The farm refused `refused` (an empty text: no key). Settles when another one was typed; many requests wait for one answer.
function askForKey(why, refused) {
  if (key() && key() !== refused) return Promise.resolve(); // typed meanwhile
  if (given) return given;
  keep("");
  const form = $("#key-box");
  $("#key-why").textContent = refused ? why : "This farm asks for an API key. It stays in this tab.";
  form.hidden = false;
  $("#key").focus();
  given = new Promise((done) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      const text = $("#key").value.trim();
      if (!/^[\x21-\x7e]{1,200}$/.test(text)) return; // what no header can carry is no key
      $("#key").value = "";
      form.hidden = true;
      keep(text);
      given = null;
      done();
    };
  });
  return given;
}

async function request(path, options = {}) {
  for (;;) {
    const shown = key();
    const headers = { ...options.headers, ...(shown ? { "X-API-Key": shown } : {}) };
    const answer = await fetch(path, { ...options, headers });
    if (answer.status !== 401) return answer;
    const problem = await answer.json().catch(() => ({}));
    await askForKey(problem.detail || "This key is not known here.", shown);
  }
}

// A link cannot send a key: the file is fetched, and handed to the browser from here.
async function download(event) {
  if (!key()) return;
  event.preventDefault();
  const answer = await request(event.currentTarget.getAttribute("href")).catch(() => null);
  if (!answer || !answer.ok) return;
  const name = /filename="([^"]*)"/.exec(answer.headers.get("Content-Disposition") || "");
  const link = element("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name ? name[1] : "result";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A problem document becomes an error with its sentence; a farm that is busy or away is asked again.
async function ask(path, options = {}, tries = 5) {
  for (let n = 1; ; n++) {
    let answer;
    try {
      answer = await request(path, options);
    } catch {
      if (n >= tries) throw new Refused("The farm does not answer. Is it still running?");
      await sleep(500 * n);
      continue;
    }
    if (answer.ok) return answer.status === 204 ? null : answer.json();
    if ((answer.status === 503 || answer.status === 429) && n < tries) {
      await sleep(1000 * Math.min(60, Number(answer.headers.get("Retry-After") || 1)));
      continue;
    }
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(problem.detail || `The farm answered ${answer.status}.`);
  }
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const bytes = (n) => (n < 1e6 ? `${Math.max(1, Math.round(n / 1e3))} kB` : `${(n / 1e6).toFixed(1)} MB`);
const grade = (confidence) => (confidence >= 0.9 ? "high" : confidence >= 0.7 ? "mid" : "low");

// ------------------------------------------------------------------ one document

class Card {
  constructor(file) {
    this.file = file;
    this.pages = new Map();
    this.root = $("#document").content.firstElementChild.cloneNode(true);
    $("h2", this.root).textContent = file.name;
    this.bar = $("progress", this.root);
    $(".copy", this.root).addEventListener("click", (event) => this.copy(event.target));
    $(".retry", this.root).addEventListener("click", () => this.again());
    $(".cancel", this.root).addEventListener("click", () => ask(`/v1/jobs/${this.id}/cancel`, { method: "POST" }).catch(() => {}));
    $(".remove", this.root).addEventListener("click", () => this.remove());
    for (const link of this.root.querySelectorAll("footer a")) link.addEventListener("click", download);
    this.say("waiting");
    this.facts([bytes(file.size)]);
  }

  say(state) {
    const badge = $(".state", this.root);
    badge.textContent = state;
    badge.className = `state ${state}`;
  }

  facts(parts) {
    $(".facts", this.root).textContent = parts.filter(Boolean).join(" · ");
  }

  why(sentence) {
    const place = $(".why", this.root);
    place.textContent = sentence || "";
    place.hidden = !sentence;
  }

  actions(...names) {
    const footer = $("footer", this.root);
    footer.hidden = names.length === 0;
    for (const child of footer.children) child.hidden = !names.includes(child.className);
  }

  async send(choices) {
    this.say("sending");
    this.bar.hidden = false;
    this.bar.removeAttribute("value");
    const form = new FormData();
    for (const [name, value] of Object.entries(choices)) form.append(name, value);
    form.append("file", this.file, this.file.name || "pasted.png");
    const key = { "Idempotency-Key": crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}` };
    try {
      this.follow((await ask("/v1/jobs", { method: "POST", body: form, headers: key })).id);
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error) {
    this.say("failed");
    this.bar.hidden = true;
    this.why(error.message);
    this.actions("remove");
  }

  async follow(id) {
    this.id = id;
    this.started = performance.now();
    this.actions("cancel");
    watching++;
    try {
      for (;;) {
        const found = await ask(`/v1/jobs/${id}/pages?after=${this.wholeTo()}`, {}, 60);
        if (this.id !== id) return; // removed, or read again
        for (const page of found.pages) this.show(page);
        this.say(found.state);
        const { pages_done: done, pages_total: total } = found.progress;
        if (total > 1) {
          this.bar.max = total;
          this.bar.value = done;
        }
        this.facts([bytes(this.file.size), total > 1 && `page ${done} of ${total}`]);
        if (ENDED.has(found.state)) break;
        await sleep(Math.max(400, 120 * watching));
      }
      this.end(await ask(`/v1/jobs/${id}`));
    } catch (error) {
      if (this.id === id) this.fail(error);
    } finally {
      watching--;
    }
  }

  wholeTo() {
    let n = 0;
    while (this.pages.has(n + 1)) n++;
    return n;
  }

  end(job) {
    this.bar.hidden = true;
    const lines = [...this.pages.values()].flatMap((page) => page.lines);
    const sure = lines.reduce((sum, line) => sum + line.confidence, 0) / (lines.length || 1);
    const seconds = job.cached ? "from the cache" : job.ended_at && job.started_at && `${(job.ended_at - job.started_at).toFixed(1)} s`;
    const total = this.pages.size;
    this.facts([
      bytes(this.file.size),
      total > 1 && `${total} pages`,
      lines.length > 0 && `${lines.length} lines, confidence ${sure.toFixed(2)}`,
      seconds,
    ]);
    this.say(job.state);
    this.why(job.state === "failed" && job.error ? job.error.message : "");
    if (job.state === "failed" && total <= 1) $(".pages", this.root).replaceChildren(); // the reason is told once
    if (job.state === "succeeded" || job.state === "partial") {
      $(".txt", this.root).href = `/v1/jobs/${job.id}/result?format=txt`;
      $(".json", this.root).href = `/v1/jobs/${job.id}/result?format=json`;
      this.actions("copy", "txt", "json", "retry", "remove");
    } else if (job.error && !job.error.retryable) {
      this.actions("remove"); // it would fail again
    } else {
      this.actions("retry", "remove");
    }
  }

  show(page) {
    if (this.pages.has(page.number)) return;
    this.pages.set(page.number, page);
    const section = element("section", "page");
    section.dataset.number = page.number;
    section.append(element("h3", "", `Page ${page.number}` + (page.width ? ` · ${page.width} × ${page.height} pixels` : "")));
    if (page.error) {
      section.append(element("p", "failed", `Could not be read: ${page.error.message}`));
    } else if (page.lines.length === 0) {
      section.append(element("p", "nothing", "Nothing is written here."));
    } else {
      const list = element("ol", "lines");
      for (const line of page.lines) {
        const row = element("li");
        const sure = element("span", `sure ${grade(line.confidence)}`, line.confidence.toFixed(2));
        sure.title = `Confidence ${line.confidence.toFixed(3)}`;
        row.append(sure, element("span", "text", line.text));
        list.append(row);
      }
      section.append(list);
    }
    const place = $(".pages", this.root);
    const after = [...place.children].find((other) => Number(other.dataset.number) > page.number);
    place.insertBefore(section, after || null);
  }

  text() {
    return [...this.pages.values()]
      .sort((a, b) => a.number - b.number)
      .map((page) => page.lines.map((line) => line.text).join("\n"))
      .join("\n\n");
  }

  async copy(button) {
    try {
      await navigator.clipboard.writeText(this.text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "The browser does not allow it";
    }
    setTimeout(() => (button.textContent = "Copy the text"), 1500);
  }

  async again() {
    try {
      const job = await ask(`/v1/jobs/${this.id}/retry`, { method: "POST" });
      this.pages.clear();
      $(".pages", this.root).replaceChildren();
      this.why("");
      this.bar.hidden = false;
      this.bar.removeAttribute("value");
      this.follow(job.id);
    } catch (error) {
      this.why(error.message);
    }
  }

  async remove() {
    const id = this.id;
    this.id = undefined;
    this.root.remove();
    if (id) await ask(`/v1/jobs/${id}`, { method: "DELETE" }).catch(() => {});
  }
}

// ------------------------------------------------------------------ taking documents

const waiting = [];
let sending = 0;

function take(files) {
  const choices = { profile: $("#profile").value, layout: $("#layout").value };
  for (const name of Object.keys(choices)) if (!choices[name]) delete choices[name];
  const cards = [...files].map((file) => new Card(file));
  $("#documents").prepend(...cards.map((card) => card.root)); // the newest drop on top, in its own order
  for (const card of cards) waiting.push([card, choices]);
  for (let n = sending; n < SENDING; n++) sendWaiting();
}

async function sendWaiting() {
  sending++;
  for (let next; (next = waiting.shift()); ) await next[0].send(next[1]);
  sending--;
}

const drop = $("#drop");
let inside = 0;
addEventListener("dragenter", (event) => { event.preventDefault(); inside++; drop.classList.add("over"); });
addEventListener("dragleave", () => { if (--inside <= 0) { inside = 0; drop.classList.remove("over"); } });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  drop.classList.remove("over");
  take(event.dataTransfer.files);
});
addEventListener("paste", (event) => take(event.clipboardData.files));
$("#pick").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = "";
});

// ------------------------------------------------------------------ the farm

async function choices() {
  const select = $("#profile");
  try {
    const profiles = await ask("/v1/profiles");
    for (const profile of profiles) {
      const option = element("option", "", profile.name);
      option.value = profile.name;
      option.selected = profile.default;
      select.append(option);
    }
    const tell = () => ($("#profile-text").textContent = profiles.find((p) => p.name === select.value)?.description || "");
    select.addEventListener("change", tell);
    tell();
  } catch (error) {
    $("#told").textContent = error.message;
    $("#told").hidden = false;
  }
}

async function watchFarm() {
  const place = $("#farm");
  for (;;) {
    try {
      const farm = await ask("/v1/farm", {}, 1);
      const waits = farm.queued_units + farm.running_units;
      place.className = `farm ${farm.slots ? "up" : "down"}`;
      $("#farm-text").textContent = farm.slots
        ? `${farm.slots} worker${farm.slots > 1 ? "s" : ""} · ${waits ? `${waits} page${waits > 1 ? "s" : ""} under way` : "idle"} · ${farm.pages_total} read`
        : "No worker is alive; documents wait";
    } catch (error) {
      place.className = "farm down";
      $("#farm-text").textContent = error.message;
    }
    await sleep(document.hidden ? 15000 : 3000);
  }
}

$("#forget").hidden = !key();
$("#forget").addEventListener("click", () => {
  keep("");
  location.reload();
});
choices();
watchFarm();
