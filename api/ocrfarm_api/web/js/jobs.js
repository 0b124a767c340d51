// The jobs that the page knows: the farm's own list, newest first, kept fresh by events.

import { ask } from "./api.js";
import { Follower, ended } from "./events.js";

const jobs = new Map(); // by id
const pages = new Map(); // by id: the numbers of the pages that are done
const listeners = new Set();
let cursor = null;
let open = ""; // the job that is looked at: it is followed first
let follower = null;
let heardOf = false;

export const get = (id) => jobs.get(id);
export const newestFirst = () => [...jobs.values()].sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? 1 : -1));
export const pagesOf = (id) => pages.get(id) || new Set();
export const older = () => Boolean(cursor);
export const loaded = () => heardOf; // whether the farm has told what it has

// `heard(what, id)`: "job" (new, or changed), "page" (one is done), "gone".
export function listen(heard) {
  listeners.add(heard);
  return () => listeners.delete(heard);
}

const tellAll = (what, id) => listeners.forEach((heard) => heard(what, id));

function wanted() {
  const waiting = newestFirst().filter((job) => !ended(job)).reverse(); // the oldest are read first
  const first = waiting.filter((job) => job.id === open);
  return [...first, ...waiting.filter((job) => job.state === "running" && job.id !== open), ...waiting.filter((job) => job.state === "queued" && job.id !== open)].map((job) => job.id);
}

function follow() {
  if (follower) follower.changed();
  else follower = new Follower(wanted, { state: take, page, progress, gone });
}

export function take(job) {
  const before = jobs.get(job.id);
  jobs.set(job.id, job);
  if (!before || JSON.stringify(before) !== JSON.stringify(job)) tellAll("job", job.id);
  if (!ended(job)) follow();
}

function page(id, number) {
  if (!pages.has(id)) pages.set(id, new Set());
  pages.get(id).add(number);
  tellAll("page", id);
}

function progress(news) {
  const job = jobs.get(news.id);
  if (!job) return;
  jobs.set(job.id, { ...job, ...news });
  tellAll("job", job.id);
}

function gone(id) {
  pages.delete(id);
  if (jobs.delete(id)) tellAll("gone", id);
}

export async function load(more = false) {
  const list = await ask(`/v1/jobs?limit=100${more && cursor ? `&cursor=${cursor}` : ""}`);
  heardOf = true;
  if (more || cursor === null || jobs.size <= 100) cursor = list.cursor;
  list.jobs.forEach(take);
}

// The job that is looked at, and the numbers of its pages: what the stream tells at its beginning.
export async function look(id, learn) {
  open = id;
  if (!id) return;
  const job = await ask(`/v1/jobs/${id}`);
  take(job);
  if (ended(job)) await learn(job);
  else follow();
}

export const learned = (id, numbers) => pages.set(id, new Set(numbers));

export async function cancel(id) {
  take(await ask(`/v1/jobs/${id}/cancel`, { method: "POST" }));
}

export async function again(id) {
  const job = await ask(`/v1/jobs/${id}/retry`, { method: "POST", headers: { "Idempotency-Key": crypto.randomUUID?.() || `${Date.now()}-${Math.random()}` } });
  take(job);
  return job;
}

export async function remove(id) {
  try {
    await ask(`/v1/jobs/${id}`, { method: "DELETE" });
  } catch (error) {
    if (error.status !== 404) throw error; // it is gone anyhow
  }
  gone(id);
}
