// News of jobs: one stream of server-sent events for all that are under way, and polling where the stream fails.
// EventSource cannot send a key, so the stream is read from fetch.

import { ask, request } from "./api.js";
import { sleep } from "./dom.js";

const MOST = 50; // jobs that one stream follows
const ENDED = new Set(["succeeded", "partial", "failed", "cancelled"]);
export const ended = (job) => ENDED.has(job.state);

// The events of one stream, until it ends or `signal` breaks it off.
export async function* stream(path, signal) {
  const answer = await request(path, { signal, headers: { Accept: "text/event-stream" } });
  if (!answer.ok || !answer.body) throw new Error(`no stream: ${answer.status}`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = /^event: (.*)$/m.exec(block);
      const data = /^data: (.*)$/m.exec(block);
      if (event && data) yield [event[1], JSON.parse(data[1])];
    }
  }
}

// Follows whatever `wanted()` names, at most MOST at a time. `on`: { state(job), page(id, number), progress(id, …), gone(id) }.
export class Follower {
  constructor(wanted, on) {
    this.wanted = wanted;
    this.on = on;
    this.followed = new Set();
    this.wake = () => {};
    this.run();
  }

  // Somebody wants to know of other jobs than before.
  changed() {
    const ids = this.wanted().slice(0, MOST);
    if (ids.some((id) => !this.followed.has(id))) this.wake();
  }

  async run() {
    let trouble = 0;
    for (;;) {
      const ids = this.wanted().slice(0, MOST);
      if (ids.length === 0) {
        this.followed = new Set();
        await new Promise((done) => (this.wake = done));
        continue;
      }
      this.followed = new Set(ids);
      const stop = new AbortController();
      let timer = 0;
      // Several that come at once are one new stream.
      this.wake = () => (timer ||= setTimeout(() => stop.abort(), 700));
      try {
        for await (const [event, data] of stream(`/v1/events?jobs=${ids.join(",")}`, stop.signal)) {
          trouble = 0;
          if (event === "problem") throw new Error(data.detail);
          this.hand(event, data);
        }
        if (this.wanted().some((id) => this.followed.has(id))) await sleep(1000); // a gateway that left: another one goes on
      } catch (error) {
        clearTimeout(timer);
        if (error.name === "AbortError") continue;
        trouble++;
        await this.poll(ids, Math.min(8, trouble));
      }
      clearTimeout(timer);
    }
  }

  hand(event, data) {
    if (event === "state") this.on.state(data);
    else if (event === "page") this.on.page(data.id, data.number);
    else if (event === "progress") this.on.progress(data);
    else if (event === "gone") this.on.gone(data.id);
  }

  // The stream does not come: so many looks, then it is tried again.
  async poll(ids, times) {
    for (let n = 0; n < times; n++) {
      await sleep(1500);
      const open = new Set(this.wanted().filter((id) => ids.includes(id)));
      if (open.size === 0) return;
      try {
        const { jobs } = await ask("/v1/jobs?limit=200", {}, 1);
        for (const job of jobs) if (open.delete(job.id)) this.on.state(job);
        for (const id of [...open].slice(0, 5)) this.on.state(await ask(`/v1/jobs/${id}`, {}, 1));
      } catch (error) {
        if (error.status === 404) this.on.gone([...open][0]);
      }
    }
  }
}
