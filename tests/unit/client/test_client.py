"""Client and AsyncClient against a real gateway."""

from __future__ import annotations

import io
import secrets
import threading
import time
from pathlib import Path

import pytest
from tests.unit.client.conftest import PDF, Gateway, Hand, png

from ocrfarm import AsyncClient, Client
from ocrfarm_shared.contracts import JobState
from ocrfarm_shared.errors import (
    AlreadyEnded,
    BadOption,
    EmptyFile,
    Encrypted,
    FarmUnavailable,
    IdempotencyConflict,
    NotFound,
    NotSucceeded,
    UnknownProfile,
    UnsupportedType,
)

pytestmark = pytest.mark.farm


def fresh() -> bytes:
    return png(secrets.randbits(32))


def test_path_bytes_and_file_objects_are_read(gateway: Gateway, hand: Hand, letter: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    behind = io.BytesIO(b"not sent" + fresh())
    behind.seek(8)
    with Client(gateway.url) as farm, letter.open("rb") as opened:
        for source, name in (
            (letter, "letter.png"),
            (str(letter), "letter.png"),
            (opened, "letter.png"),
            (fresh(), "document"),
            (behind, "document"),
            (Pipe(fresh()), "document"),
        ):
            job = farm.submit(source, cache="off")
            assert job.view.state is JobState.QUEUED
            assert job.view.filename == name
            hand.read(f"read {name}")
            assert job.text(10) == f"read {name}"
            document = job.result(10)
            assert [line.text for p in document.pages for line in p.lines] == [f"read {name}"]
            assert job.wait(10).state is JobState.SUCCEEDED


def test_options_travel(gateway: Gateway, hand: Hand) -> None:
    with Client(gateway.url) as farm:
        job = farm.submit(
            fresh(),
            filename="Rechnung ä 发票.png",
            profile="accurate",
            layout="line",
            languages=["en", "zh"],
            pages="1",
            options={"dpi": 300, "min_confidence": 0.5},
            cache="off",
            priority="bulk",
            tag="june",
            deadline_s=500,
        )
        assert job.view.filename == "Rechnung ä 发票.png"
        assert (job.view.profile, job.view.priority, job.view.tag) == ("accurate", "bulk", "june")
        unit = hand.take()
        assert unit.profile == "accurate"
        assert unit.options.layout == "line"
        assert unit.options.languages == ("en", "zh")
        assert (unit.options.options.dpi, unit.options.options.min_confidence) == (300, 0.5)


def test_waiting_ends_with_the_job_and_with_ones_patience(gateway: Gateway, hand: Hand) -> None:
    with Client(gateway.url) as farm:
        job = farm.submit(fresh())
        with pytest.raises(TimeoutError, match="still queued"):
            job.wait(0.3)
        thread = hand.later(0.5, "now")
        started = time.monotonic()
        assert job.wait(20).state is JobState.SUCCEEDED
        assert 0.3 < time.monotonic() - started < 5
        thread.join()


def test_pages_come_as_they_are_read(gateway: Gateway, hand: Hand) -> None:
    with Client(gateway.url) as farm:
        job = farm.submit(PDF + secrets.token_bytes(8), filename="three.pdf")
        hand.count(3)
        pages = job.pages()
        assert hand.read("one") == 1
        assert next(pages).text == "one"
        assert job.refresh().state is JobState.RUNNING
        hand.read("two")
        assert next(pages).text == "two"
        thread = hand.later(0.3, "three")
        assert [p.text for p in pages] == ["three"]
        thread.join()
        assert job.text() == "one\ftwo\fthree"


def test_a_page_that_comes_late_is_not_missed(gateway: Gateway, hand: Hand) -> None:
    with Client(gateway.url) as farm:
        job = farm.submit(PDF + secrets.token_bytes(8))
        hand.count(2)
        first = hand.take()
        hand.read("second")
        pages = job.pages()
        assert next(pages).number == 2
        from tests.unit.client.conftest import page

        from ocrfarm_shared.ledger import calls

        hand.ledger(calls.finish_page(first.unit, first.token, page(1, "first")))
        assert [p.number for p in pages] == [1]


def test_a_failed_job_raises_its_own_error(gateway: Gateway, hand: Hand) -> None:
    with Client(gateway.url) as farm:
        job = farm.submit(PDF + secrets.token_bytes(8))
        hand.fail(Encrypted())
        with pytest.raises(Encrypted, match="password"):
            job.result(10)
        with pytest.raises(Encrypted):
            list(job.pages())
        assert job.wait(1).state is JobState.FAILED


def test_cancel_retry_delete_and_list(gateway: Gateway, hand: Hand) -> None:
    with Client(gateway.url) as farm:
        first, second = farm.submit(fresh(), tag="a"), farm.submit(fresh(), tag="b")
        assert [v.id for v in farm.list()] == [second.id, first.id]
        assert [v.id for v in farm.list(tag="a")] == [first.id]
        assert list(farm.list(state="failed")) == []
        first.cancel()
        assert first.wait(5).state is JobState.CANCELLED
        with pytest.raises(AlreadyEnded):
            first.cancel()
        with pytest.raises(NotSucceeded):
            first.text(1)
        again = farm.retry(second.id)
        assert again.id != second.id
        second.delete()
        with pytest.raises(NotFound):
            second.refresh()


def test_the_list_goes_on_over_its_pages(gateway: Gateway) -> None:
    with Client(gateway.url) as farm:
        sent = [farm.submit(fresh()).id for _ in range(60)]  # the gateway lists 50 at a time
        assert [view.id for view in farm.list()] == sent[::-1]


def test_farm_and_profiles(gateway: Gateway, hand: Hand) -> None:
    with Client(gateway.url) as farm:
        assert farm.farm().slots == 1
        assert farm.farm().nodes[0].name == "hand"
        assert [p.name for p in farm.profiles() if p.default] == ["balanced"]


def test_refusals_are_the_farms_own_errors(gateway: Gateway, tmp_path: Path) -> None:
    with Client(gateway.url) as farm:
        with pytest.raises(UnsupportedType, match="PNG"):
            farm.submit(b"plain words, no document")
        with pytest.raises(UnknownProfile, match="accurate"):
            farm.submit(fresh(), profile="nonsense")
        with pytest.raises(BadOption, match="layout"):
            farm.submit(fresh(), layout="sideways")
        with pytest.raises(NotFound):
            farm.job("job_000000000000000000000000")
        with pytest.raises(EmptyFile):
            farm.submit(b"")
        with pytest.raises(BadOption, match="no file"):
            farm.submit(tmp_path / "missing.png")
        with pytest.raises(BadOption, match="rb"):
            farm.submit(io.StringIO("text"))  # type: ignore[arg-type]  # the wrong type is what is tried


def test_the_same_key_makes_one_job(gateway: Gateway) -> None:
    with Client(gateway.url) as farm:
        data = fresh()
        one = farm.submit(data, idempotency_key="k")
        assert farm.submit(data, idempotency_key="k").id == one.id
        assert farm.submit(data, cache="off").id != one.id  # each submission has a key of its own
        with pytest.raises(IdempotencyConflict):
            farm.submit(fresh(), idempotency_key="k")


def test_a_farm_that_is_away_is_waited_for(gateway: Gateway) -> None:
    gateway.kill()
    back = threading.Timer(1.0, gateway.start)
    back.start()
    with Client(gateway.url) as farm:
        started = time.monotonic()
        job = farm.submit(fresh())
        assert time.monotonic() - started > 0.9
        assert job.refresh().state is JobState.QUEUED
    back.join()
    gateway.kill()
    with Client(gateway.url, retry_for_s=0.3) as farm, pytest.raises(FarmUnavailable, match="ocrfarm up"):
        farm.farm()


@pytest.mark.anyio
async def test_the_asyncio_client_does_the_same(gateway: Gateway, hand: Hand, letter: Path) -> None:
    async with AsyncClient(gateway.url) as farm:
        job = await farm.submit(letter, tag="t")
        thread = hand.later(0.3, "hello")
        assert await job.text(10) == "hello"
        thread.join()
        assert (await job.wait()).state is JobState.SUCCEEDED
        assert (await job.result()).pages[0].text == "hello"
        assert [view.id async for view in farm.list(tag="t")] == [job.id]
        many = await farm.submit(PDF + secrets.token_bytes(8))
        hand.count(2)
        hand.read("one")
        thread = hand.later(0.3, "two")
        assert [page.text async for page in many.pages()] == ["one", "two"]
        thread.join()
        assert await many.text() == "one\ftwo"
        again = await many.retry()
        assert again.id != many.id or again.state is JobState.QUEUED
        await many.cancel()
        await many.delete()
        with pytest.raises(NotFound):
            await farm.job(many.id)
        assert (await farm.farm()).slots == 1
        assert len(await farm.profiles()) >= 2
