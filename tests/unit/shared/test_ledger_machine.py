"""Whatever order submissions, workers, losses and cancellations come in: every accepted job ends once, every page is recorded once.

A hypothesis state machine against a real Redis. The rules act as gateways, workers, a lossy broker and the dispatcher would.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ocrfarm_shared.artefacts import Artefact
from ocrfarm_shared.contracts import CacheMode, JobState, OcrOptions, Page, Priority, Submission
from ocrfarm_shared.errors import Internal, Unreadable
from ocrfarm_shared.ledger import Ledger, artefact_calls, calls, node_calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.queue import queue_name
from ocrfarm_shared.settings import Settings, read_settings

T = TypeVar("T")
TENANTS = ["ann", "bob"]
# What is drawn must not hang on what Redis answered (time passes there), so rules pick by index and do nothing where nothing is.
PICK = st.integers(0, 30)
PROFILE = "accurate"


class Farm(RuleBasedStateMachine):
    url: str

    def namespace(self) -> str:
        return f"m{secrets.token_hex(6)}"

    def open_ledger(self) -> Ledger:
        return Ledger.open(self.conf)

    @initialize(slots=st.integers(1, 3))
    def begin(self, slots: int) -> None:
        self.conf: Settings = read_settings(
            {},
            redis_url=self.url,
            namespace=self.namespace(),
            heartbeat_s=0.001,
            lease_s=0.004,
            max_attempts=3,
        )
        self.ledger = self.open_ledger()
        for n in range(slots):
            self.ledger(calls.heartbeat(f"p{n}", {}, lease_s=600))
        self.jobs: dict[str, str] = {}  # id -> tenant
        self.contents: dict[str, str] = {}
        self.ended: dict[str, JobState] = {}
        self.messages: list[str] = []  # taken from the queue, not yet worked on
        self.held: list[ClaimedUnit] = []
        self.recorded: set[str] = set()
        self.made: set[str] = set()
        self.keys: dict[tuple[str, str], str] = {}

    @staticmethod
    def _pick(things: Iterable[T], index: int) -> T | None:
        listed = list(things)
        return listed[index % len(listed)] if listed else None

    # ---------------------------------------------------------------- gateways
    @rule(
        tenant=st.sampled_from(TENANTS),
        content=st.integers(0, 3),
        plan=st.booleans(),
        cache=st.sampled_from(list(CacheMode)),
        priority=st.sampled_from(list(Priority)),
        key=st.one_of(st.none(), st.sampled_from(["k1", "k2"])),
        deadline=st.one_of(st.none(), st.just(0.001)),
    )
    def submit(
        self,
        tenant: str,
        content: int,
        plan: bool,
        cache: CacheMode,
        priority: Priority,
        key: str | None,
        deadline: float | None,
    ) -> None:
        name = f"{content}{'p' if plan else 'i'}"
        done = self.ledger(
            calls.submit(
                tenant=tenant,
                upload=calls.Upload(f"{tenant}/{name}", "application/pdf" if plan else "image/png", 1, plan),
                submission=Submission(
                    ocr=OcrOptions(profile=PROFILE), cache=cache, priority=priority, deadline_s=deadline
                ),
                cache_key=f"{tenant}-{name}",
                settings=self.conf,
                idempotency_key=key,
                idempotency_print=name,
            )
        )
        known = self.keys.get((tenant, key)) if key else None
        if known in self.jobs:
            expected = "same" if self.contents[known] == name else "conflict"
            assert done.outcome == expected
            if expected == "same":
                assert done.job_id == known
            return
        assert done.outcome in ("new", "joined", "hit")
        if done.outcome != "new":
            assert cache is CacheMode.USE
        self.jobs[done.job_id], self.contents[done.job_id] = tenant, name
        if key:
            self.keys[tenant, key] = done.job_id

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        job = self._pick(self.jobs, pick)
        if job is None:
            return
        outcome = self.ledger(calls.cancel(self.jobs[job], job))
        assert outcome == ("ended" if job in self.ended else "cancelled")

    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        job = self._pick(self.jobs, pick)
        if job is None:
            return
        tenant = self.jobs.pop(job)
        self.ended.pop(job, None)
        assert self.ledger(calls.delete(tenant, job)) == "deleted"
        assert self.ledger(calls.view(tenant, [job])) == []

    @rule(pick=PICK)
    def strangers_see_nothing(self, pick: int) -> None:
        job = self._pick(self.jobs, pick)
        if job is None:
            return
        stranger = next(t for t in TENANTS if t != self.jobs[job])
        assert self.ledger(calls.view(stranger, [job])) == []
        assert self.ledger(calls.cancel(stranger, job)) == "unknown"
        assert self.ledger(calls.delete(stranger, job)) == "unknown"
        assert job not in self.ledger(calls.list_jobs(stranger, limit=1000)).ids

    @rule(pick=PICK, page=st.integers(1, 2))
    def ask_for_a_picture(self, pick: int, page: int) -> None:
        job = self._pick(self.jobs, pick)
        if job is None:
            return
        wanted = Artefact("jpeg", page, 800)
        asked = self.ledger(artefact_calls.ask(self.jobs[job], job, wanted))
        assert asked.outcome in ("making", "ready", "failed")
        if asked.outcome == "ready":
            assert asked.blob in self.made
            assert self.ledger.redis.get(f"{self.conf.namespace}:made:{asked.blob}") is not None
        stranger = next(t for t in TENANTS if t != self.jobs[job])
        assert self.ledger(artefact_calls.ask(stranger, job, wanted)).outcome == "unknown"

    # ---------------------------------------------------------------- the broker
    @rule()
    def deliver(self) -> None:
        raw = self.ledger.redis.rpop(queue_name(self.conf.namespace, PROFILE))
        if raw is not None:
            self.messages.append(json.loads(json.loads(raw)["body"])[0][0])

    @rule()
    def lose_a_message(self) -> None:
        del self.messages[:1]

    @rule()
    def deliver_twice(self) -> None:
        self.messages.extend(self.messages[:1])

    # ---------------------------------------------------------------- workers
    @rule(dies=st.booleans())
    def claim(self, dies: bool) -> None:
        if not self.messages:
            return
        unit = self.messages.pop(0)
        got = self.ledger(calls.claim(unit, owner=secrets.token_hex(4), node="n", lease_s=0.001 if dies else 600))
        if isinstance(got, ClaimedUnit):
            assert unit not in self.recorded, "a recorded page was handed out again"
            assert self._wanted(got.run_id), "a page of a run that nobody follows any more was handed out"
            self.held.append(got)

    @rule(pick=PICK, pages=st.integers(1, 40))
    def finish(self, pick: int, pages: int) -> None:
        got = self._pick(self.held, pick)
        if got is None:
            return
        self.held.remove(got)
        self._finish(got, pages)

    def _finish(self, got: ClaimedUnit, pages: int) -> None:
        if got.kind == "artefact":
            recorded = self.ledger(artefact_calls.made(got.unit, got.token, f"{got.tenant}/{got.token}", 1))
            if recorded:
                self.made.add(f"{got.tenant}/{got.token}")
        elif got.kind == "plan":
            recorded = self.ledger(calls.finish_plan(got.unit, got.token, range(1, pages + 1), pages))
        else:
            recorded = self.ledger(calls.finish_page(got.unit, got.token, Page(number=got.number, width=1, height=1)))
        if recorded:
            assert got.unit not in self.recorded, "a unit was recorded twice"
            self.recorded.add(got.unit)
        # The same write again is a stale one.
        assert not self.ledger(
            calls.finish_page(got.unit, got.token, Page(number=max(1, got.number), width=1, height=1))
        )

    @rule(pick=PICK, ours=st.booleans())
    def fail(self, pick: int, ours: bool) -> None:
        got = self._pick(self.held, pick)
        if got is None:
            return
        self.held.remove(got)
        error = Internal() if ours else Unreadable()
        outcome = self.ledger(calls.fail(got.unit, error, token=got.token, max_attempts=3))
        if outcome == "retried":
            assert ours
            assert got.attempt < 3

    @rule(pick=PICK)
    def give_back(self, pick: int) -> None:
        got = self._pick(self.held, pick)
        if got is not None:
            self.held.remove(got)
            self.ledger(node_calls.give_back(got.unit, got.token, delay_s=0.001))

    @rule(on=st.booleans())
    def drain(self, on: bool) -> None:
        """Of the one node that claims."""
        self.ledger(node_calls.drain("n", on=on))

    @rule(pick=PICK)
    def beat(self, pick: int) -> None:
        got = self._pick(self.held, pick)
        if got is None:
            return
        pulse = self.ledger(calls.heartbeat("p0", {}, lease_s=600, unit=got.unit, token=got.token))
        assert pulse.state in ("held", "stale", "cancelled")
        if pulse.state != "stale":  # cancelled, past its deadline or deleted by the last who wanted it, and only then
            assert (pulse.state == "held") == self._wanted(got.run_id)

    def _wanted(self, run_id: str) -> bool:
        """Whether a job that has not ended follows this run; of an artefact's, whether its source still speaks of it."""
        source = self.ledger.redis.hget(f"{self.conf.namespace}:run:{run_id}", "of")
        if source:
            known = self.ledger.redis.hvals(f"{self.conf.namespace}:run:{source.decode()}:m")
            return any(json.loads(one).get("run") == run_id for one in known)
        states = (
            self.ledger.redis.hget(f"{self.conf.namespace}:job:{job.decode()}", "state")
            for job in self.ledger.redis.smembers(f"{self.conf.namespace}:run:{run_id}:f")
        )
        return any(state == b"" for state in states)

    def _making(self) -> set[bytes]:
        return {r for tenant in TENANTS for r in self.ledger.redis.smembers(f"{self.conf.namespace}:making:{tenant}")}

    # ---------------------------------------------------------------- the dispatcher
    @rule()
    def sweep(self) -> None:
        self.ledger(calls.sweep(self.conf))

    # ---------------------------------------------------------------- what must hold
    @invariant()
    def nothing_ends_twice(self) -> None:
        by_tenant: dict[str, list[str]] = {}
        for job, tenant in self.jobs.items():
            by_tenant.setdefault(tenant, []).append(job)
        for tenant, ids in by_tenant.items():
            records = self.ledger(calls.view(tenant, ids))
            assert [r.id for r in records] == ids
            for record in records:
                state = record.view.state
                assert self.ended.get(record.id, state) is state, "a terminal state changed"
                if state.ended:
                    self.ended[record.id] = state
                    assert record.view.ended_at is not None
                if state is JobState.SUCCEEDED:
                    stored = self.ledger(calls.pages(record.run_id))
                    assert [p.number for p in stored] == list(range(1, len(stored) + 1))
                    assert len(stored) == record.view.progress.pages_total
                    assert not any(p.error for p in stored)

    def teardown(self) -> None:
        if not hasattr(self, "jobs"):
            return
        self.held.clear()  # all workers die; what they held runs out
        self.messages.clear()
        self.ledger(node_calls.drain("n", on=False))
        for key in self.ledger.redis.scan_iter(f"{self.conf.namespace}:leases:*"):
            for unit in self.ledger.redis.zrange(key, 0, -1):
                self.ledger.redis.zadd(key, {unit: 1})
        limit = time.monotonic() + 60
        while any(job not in self.ended for job in self.jobs) or self._making():
            assert time.monotonic() < limit, f"never ended: {[j for j in self.jobs if j not in self.ended]}"
            self.ledger(calls.sweep(self.conf))
            for unit in self.ledger.redis.zrange(f"{self.conf.namespace}:delayed", 0, -1):
                self.ledger.redis.zadd(f"{self.conf.namespace}:delayed", {unit: 1})  # time passes
            while (raw := self.ledger.redis.rpop(queue_name(self.conf.namespace, PROFILE))) is not None:
                got = self.ledger(
                    calls.claim(json.loads(json.loads(raw)["body"])[0][0], owner="t", node="n", lease_s=600)
                )
                if isinstance(got, ClaimedUnit):
                    self._finish(got, 3)
            self.nothing_ends_twice()
        state = self.ledger(calls.farm("ann"))
        for _ in range(8):  # copies of messages whose unit has ended are let go of by the sweep
            if state.published:
                time.sleep(0.02)
                self.ledger(calls.sweep(self.conf))
                state = self.ledger(calls.farm("ann"))
        assert (state.active_jobs, state.queued, state.running, state.published) == (0, 0, 0, 0)
        for key in self.ledger.redis.scan_iter(f"{self.conf.namespace}:*"):
            self.ledger.redis.delete(key)
        self.ledger.close()


def test_every_job_ends_once_whatever_happens(redis_url: str) -> None:
    Farm.url = redis_url
    run_state_machine_as_test(
        Farm,
        settings=settings(
            max_examples=60,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
