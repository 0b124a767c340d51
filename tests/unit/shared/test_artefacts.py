"""What a worker makes of a document on first asking: once, for whoever asks, told where it failed, gone with its job."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ocrfarm_shared.artefacts import WIDTHS, Artefact
from ocrfarm_shared.contracts import ARTEFACT_SCHEMA, READING_SCHEMA, OcrOptions, Page, Submission
from ocrfarm_shared.errors import Unreadable, WorkerLost
from ocrfarm_shared.ledger import Ledger, artefact_calls, calls
from ocrfarm_shared.ledger.artefact_calls import Asked
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.queue import queue_name
from ocrfarm_shared.settings import Settings

PICTURE = Artefact("jpeg", 1, 800)
PDF = Artefact("pdf")


class Scene:
    """A ledger with one worker process. Its hands are the tests'."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger.open(settings)
        self.ledger(calls.heartbeat("p", {}, lease_s=600))

    def submit(self, tenant: str = "ann", content: str = "a") -> str:
        upload = calls.Upload(f"{tenant}/{content * 64}", "image/png", 1, plan=False)
        wanted = Submission(ocr=OcrOptions(profile="accurate"))
        call = calls.submit(
            tenant=tenant, upload=upload, submission=wanted, cache_key=f"{tenant}{content}", settings=self.settings
        )
        return self.ledger(call).job_id

    def message(self) -> dict[str, object]:
        raw = self.ledger.redis.rpop(queue_name(self.settings.namespace, "accurate"))
        assert raw is not None, "nothing is published"
        return dict(json.loads(raw))

    def take(self, kind: str) -> ClaimedUnit:
        unit = json.loads(str(self.message()["body"]))[0][0]
        got = self.ledger(calls.claim(unit, owner="t", node="n", process="n:1", lease_s=600))
        assert isinstance(got, ClaimedUnit), got
        assert got.kind == kind
        return got

    def read(self) -> None:
        got = self.take("page")
        assert self.ledger(calls.finish_page(got.unit, got.token, Page(number=1, width=1, height=1)))

    def job(self, tenant: str = "ann", content: str = "a") -> str:
        """A job that has been read."""
        job = self.submit(tenant, content)
        self.read()
        return job

    def ask(self, job: str, wanted: Artefact = PICTURE, tenant: str = "ann", **more: object) -> Asked:
        return self.ledger(artefact_calls.ask(tenant, job, wanted, **more))  # type: ignore[arg-type]

    def make(self, blob: str = "ann/" + "f" * 64) -> bool:
        got = self.take("artefact")
        return self.ledger(artefact_calls.made(got.unit, got.token, blob, 9))

    def free(self) -> list[str]:
        return self.ledger(calls.reap(grace_s=-1))


@pytest.fixture
def scene(farm_settings: Settings) -> Iterator[Scene]:
    made = Scene(farm_settings)
    yield made
    made.ledger.close()


def test_it_is_made_once_for_all_who_ask(scene: Scene) -> None:
    job = scene.job()
    first, second = scene.ask(job), scene.ask(job)
    assert (first.outcome, second.outcome) == ("making", "making")
    assert first.run_id == second.run_id
    got = scene.take("artefact")
    assert (Artefact.of(got.name), got.number, got.media_type, got.blob) == (PICTURE, 1, "image/png", "ann/" + "a" * 64)
    assert scene.ledger(calls.heartbeat("p", {}, lease_s=600, unit=got.unit, token=got.token)).state == "held"
    assert scene.ledger(artefact_calls.made(got.unit, got.token, "ann/" + "f" * 64, 9))
    assert not scene.ledger(artefact_calls.made(got.unit, got.token, "ann/" + "e" * 64, 9)), "a stale write counted"
    ready = scene.ask(job)
    assert (ready.outcome, ready.blob, ready.size) == ("ready", "ann/" + "f" * 64, 9)
    assert scene.ledger.redis.llen(queue_name(scene.settings.namespace, "accurate")) == 0
    state = scene.ledger(calls.farm("ann"))
    assert (state.active_jobs, state.queued, state.published, state.running) == (0, 0, 0, 0)
    assert state.stats["pages_read"] == 1, "a picture is no page that was read"


def test_another_tenant_learns_nothing(scene: Scene) -> None:
    job = scene.job()
    assert scene.ask(job, tenant="bob").outcome == "unknown"
    scene.ask(job)
    scene.make()
    assert scene.ask(job, tenant="bob").outcome == "unknown"


def test_a_picture_can_be_had_before_the_job_has_ended_and_its_pdf_not(scene: Scene) -> None:
    job = scene.submit()
    assert scene.ask(job, PDF).outcome == "early"
    assert scene.ask(job).outcome == "making"
    scene.read()
    assert scene.make()
    assert scene.ask(job).outcome == "ready"
    assert scene.ask(job, PDF).outcome == "making"


def test_it_goes_with_the_last_job_that_it_is_of(scene: Scene) -> None:
    first = scene.job()
    second = scene.submit()  # from the cache: the same run
    scene.ask(first)
    scene.make()
    assert scene.ask(second).outcome == "ready"
    scene.ledger(calls.delete("ann", first))
    assert scene.free() == []
    assert scene.ask(second).outcome == "ready"
    assert scene.ask(first).outcome == "unknown"
    scene.ledger(calls.delete("ann", second))
    assert set(scene.free()) == {"ann/" + "a" * 64, "ann/" + "f" * 64}


def test_it_expires_with_its_job(scene: Scene) -> None:
    job = scene.job()
    scene.ask(job)
    scene.make()
    assert scene.ledger(calls.reap(grace_s=-1, orphans=["ann/" + "f" * 64])) == [], "a file that is wanted was let go"
    scene.ledger.redis.zadd(f"{scene.settings.namespace}:expiry", {job: 1})
    scene.ledger(calls.sweep(scene.settings))
    assert scene.ask(job).outcome == "gone"
    assert "ann/" + "f" * 64 in scene.free()


def test_its_making_ends_with_its_job(scene: Scene) -> None:
    """One that waits is not handed out; one under way is told, and records nothing."""
    held, waiting = scene.job(), scene.job(content="b")
    scene.ask(held)
    got = scene.take("artefact")
    scene.ask(waiting)
    scene.ledger(calls.delete("ann", held))
    scene.ledger(calls.delete("ann", waiting))
    assert scene.ledger(calls.heartbeat("p", {}, lease_s=600, unit=got.unit, token=got.token)).state == "cancelled"
    assert not scene.ledger(artefact_calls.made(got.unit, got.token, "ann/" + "f" * 64, 9))
    unit = json.loads(str(scene.message()["body"]))[0][0]
    assert scene.ledger(calls.claim(unit, owner="t", node="n", lease_s=600)) == "gone"
    assert scene.ledger.redis.scard(f"{scene.settings.namespace}:making:ann") == 0
    state = scene.ledger(calls.farm("ann"))
    assert (state.queued, state.published, state.running) == (0, 0, 0)


def test_what_cannot_be_opened_is_told_and_not_tried_again(scene: Scene) -> None:
    job = scene.job()
    scene.ask(job)
    got = scene.take("artefact")
    assert scene.ledger(calls.fail(got.unit, Unreadable(), token=got.token, max_attempts=3)) == "failed"
    for _ in range(2):
        asked = scene.ask(job)
        assert (asked.outcome, asked.failure and asked.failure.code) == ("failed", "unreadable")


def test_a_lost_worker_is_tried_again_and_a_farm_that_failed_may_be_asked_later(scene: Scene) -> None:
    job = scene.job()
    scene.ask(job)
    for outcome in ("retried", "failed"):
        got = scene.take("artefact")
        assert scene.ledger(calls.fail(got.unit, WorkerLost(), token=got.token, max_attempts=2)) == outcome
        if outcome == "retried":
            assert scene.ask(job).outcome == "making"
    assert scene.ask(job).outcome == "failed"
    key = f"{scene.settings.namespace}:run:{got.source}:m"
    told = json.loads(scene.ledger.redis.hget(key, PICTURE.name)) | {"at": 1}
    scene.ledger.redis.hset(key, PICTURE.name, json.dumps(told))  # a minute passes
    assert scene.ask(job).outcome == "making"
    assert scene.make()


def test_a_file_that_the_store_lost_is_made_again(scene: Scene) -> None:
    job = scene.job()
    scene.ask(job)
    scene.make()
    lost = scene.ask(job).blob
    assert scene.ask(job, lost=lost).outcome == "making"
    assert scene.make("ann/" + "e" * 64)
    assert scene.ask(job, lost=lost).blob == "ann/" + "e" * 64


def test_a_tenant_cannot_fill_the_queue_with_pictures(scene: Scene) -> None:
    job = scene.job()
    assert scene.ask(job, Artefact("jpeg", 1, 320), most_making=2).outcome == "making"
    assert scene.ask(job, Artefact("jpeg", 1, 800), most_making=2).outcome == "making"
    refused = scene.ask(job, Artefact("jpeg", 1, 1600), most_making=2)
    assert refused.outcome == "full"
    assert refused.seconds >= 1
    scene.make()
    assert scene.ask(job, Artefact("jpeg", 1, 1600), most_making=2).outcome == "making"


def test_of_one_job_so_many_are_kept(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefact_calls, "MOST_KEPT", 2)
    job = scene.job()
    for page in (1, 2, 3):
        scene.ask(job, Artefact("jpeg", page, 320))
        scene.make(f"ann/{page:064d}")
    assert scene.free() == [f"ann/{1:064d}"]
    assert [scene.ask(job, Artefact("jpeg", p, 320)).outcome for p in (2, 3)] == ["ready", "ready"]


def test_an_older_worker_leaves_it_to_newer_ones_and_goes_on_reading(scene: Scene) -> None:
    """It would take it for a page, and record a picture's unit as a reading."""
    job = scene.submit()
    message = scene.message()
    assert message["headers"]["schema_version"] == READING_SCHEMA  # type: ignore[index]
    unit = json.loads(str(message["body"]))[0][0]
    got = scene.ledger(calls.claim(unit, owner="t", node="n", lease_s=600, schema=READING_SCHEMA))
    assert isinstance(got, ClaimedUnit)
    scene.ledger(calls.finish_page(got.unit, got.token, Page(number=1, width=1, height=1)))
    scene.ask(job)
    message = scene.message()
    assert message["headers"]["schema_version"] == ARTEFACT_SCHEMA  # type: ignore[index]
    unit = json.loads(str(message["body"]))[0][0]
    assert scene.ledger(calls.claim(unit, owner="t", node="n", lease_s=600, schema=READING_SCHEMA)) == "newer"


def test_names_and_sizes() -> None:
    assert [Artefact.picture(1, w, "jpeg").width for w in (1, 320, 321, 3200, 99_999)] == [320, 320, 800, 3200, 3200]
    for one in (*(Artefact("webp", 7, w) for w in WIDTHS), PDF):
        assert Artefact.of(one.name) == one
    for name in ("gif-1-320", "", "jpeg-x-320"):
        with pytest.raises(ValueError):
            Artefact.of(name)
