"""`ocrfarm batch` and the clients' batches: nothing sent twice, nothing lost, whatever is killed in between."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError
from tests.unit.client.conftest import Gateway, Hand, page, png
from tests.unit.client.test_cli import ocrfarm, start

from ocrfarm import AsyncClient, Client
from ocrfarm.cli.folders import walk
from ocrfarm.cli.manifest import Manifest
from ocrfarm_shared.errors import BadOption, BatchClosed, NotFound
from ocrfarm_shared.ledger import calls


class Reader:
    """Reads every page that is published, and says how often each upload was read."""

    def __init__(self, hand: Hand, pause: float = 0.0) -> None:
        self.hand = hand
        self.read: Counter[str] = Counter()
        self.pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                unit = self.hand.take(0.2)
            except (TimeoutError, RedisError):
                continue
            self.read[unit.blob] += 1
            time.sleep(self.pause)
            self.hand.ledger(calls.finish_page(unit.unit, unit.token, page(unit.number, f"read {unit.blob[-8:]}")))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def reader(hand: Hand) -> Iterator[Reader]:
    made = Reader(hand)
    yield made
    made.stop()


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    for n in range(40):
        (folder / f"box{n % 4}").mkdir(parents=True, exist_ok=True)
        (folder / f"box{n % 4}" / f"{n}.png").write_bytes(png(n + 1))
    (folder / "notes.md").write_text("not a scan")
    return folder


def results(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*.txt")}


def wanted(scans: Path) -> set[str]:
    return {f"{path.relative_to(scans).as_posix()}.txt" for path in scans.rglob("*.png")}


def test_a_folder(gateway: Gateway, reader: Reader, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = ocrfarm("batch", scans, "--out", out, "--tag", "boxes", url=gateway.url)
    assert done.returncode == 0, done.stderr
    assert "40 of 40 read" in done.stderr
    assert results(out) == wanted(scans)
    assert (out / "box1" / "1.png.txt").read_text().startswith("read ")
    with Client(gateway.url) as farm:
        (batch,) = farm.batches.list()
    assert (batch.state, batch.counts.succeeded, batch.priority, batch.tag) == ("succeeded", 40, "bulk", "boxes")


def test_the_same_command_again_sends_nothing_and_a_changed_folder_what_is_new(
    gateway: Gateway, reader: Reader, scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert ocrfarm("batch", scans, "--out", out, url=gateway.url).returncode == 0
    assert ocrfarm("batch", scans, "--out", out, url=gateway.url).returncode == 0
    assert reader.read.total() == 40
    (scans / "new.png").write_bytes(png(77))
    (scans / "box0" / "0.png").write_bytes(png(78))
    os.utime(scans / "box1" / "1.png")  # touched, not changed
    (out / "box2" / "2.png.txt").unlink()  # its result is still there to be fetched
    done = ocrfarm("batch", scans, "--out", out, url=gateway.url)
    assert (done.returncode, "41 of 41" in done.stderr) == (0, True), done.stderr
    assert reader.read.total() == 42
    assert results(out) == wanted(scans)


def test_killed_twice_and_started_again_each_is_read_once(
    gateway: Gateway, hand: Hand, scans: Path, tmp_path: Path
) -> None:
    reader, out = Reader(hand, pause=0.05), tmp_path / "out"
    try:
        for enough in (8, 24):
            cut = start("batch", scans, "--out", out, url=gateway.url)
            limit = time.monotonic() + 60
            while len(results(out)) < enough:
                assert time.monotonic() < limit, cut.communicate(timeout=10)
                assert cut.poll() is None, cut.communicate(timeout=10)
                time.sleep(0.01)
            cut.kill()
            cut.communicate()
        done = ocrfarm("batch", scans, "--out", out, url=gateway.url)
        assert done.returncode == 0, done.stderr
    finally:
        reader.stop()
    assert results(out) == wanted(scans)
    assert (len(reader.read), set(reader.read.values())) == (40, {1})
    with Client(gateway.url) as farm:
        assert len(list(farm.list())) == 40  # no job was made twice either
        assert sum(batch.counts.total for batch in farm.batches.list()) == 40


def test_the_gateway_is_killed_in_the_middle(gateway: Gateway, hand: Hand, scans: Path, tmp_path: Path) -> None:
    reader, out = Reader(hand, pause=0.05), tmp_path / "out"
    running = start("batch", scans, "--out", out, url=gateway.url)
    limit = time.monotonic() + 60
    while len(results(out)) < 5:
        assert time.monotonic() < limit, running.communicate(timeout=10)
        time.sleep(0.01)
    gateway.kill()
    time.sleep(0.3)
    gateway.start()
    said = running.communicate(timeout=100)
    reader.stop()
    assert running.returncode == 0, said
    assert results(out) == wanted(scans)
    assert set(reader.read.values()) == {1}


def test_ctrl_c_says_that_it_can_be_gone_on_with(gateway: Gateway, hand: Hand, scans: Path, tmp_path: Path) -> None:
    running = start("batch", scans, "--out", tmp_path / "out", url=gateway.url)
    with Client(gateway.url) as farm:
        limit = time.monotonic() + 60
        while not any(batch.counts.total == 40 for batch in farm.batches.list()):
            assert time.monotonic() < limit
            time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert "goes on from here" in running.communicate(timeout=30)[1]
    assert running.returncode == 130


def test_what_fails_is_listed_and_its_neighbours_are_read(
    gateway: Gateway, reader: Reader, scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (scans / "broken.png").write_bytes(b"no picture")
    (scans / "empty.png").write_bytes(b"")
    done = ocrfarm("batch", scans, "--out", out, url=gateway.url)
    assert done.returncode == 1
    assert "40 of 42 read" in done.stderr
    with (out / "errors.csv").open(encoding="utf8") as file:
        assert [(row["file"], row["code"]) for row in csv.DictReader(file)] == [
            ("broken.png", "unsupported_type"),
            ("empty.png", "empty_file"),
        ]
    again = ocrfarm("batch", scans, "--out", out, url=gateway.url)  # they are told of again, and not sent
    assert (again.returncode, "40 of 42 read" in again.stderr) == (1, True)
    (scans / "broken.png").write_bytes(png(99))
    (scans / "empty.png").unlink()
    mended = ocrfarm("batch", scans, "--out", out, url=gateway.url)
    assert (mended.returncode, "41 of 41 read" in mended.stderr) == (0, True), mended.stderr
    assert not (out / "errors.csv").exists()


def test_a_batch_that_the_farm_forgot_is_sent_again(gateway: Gateway, hand: Hand, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    running = start("batch", scans, "--out", out, url=gateway.url)
    with Client(gateway.url) as farm:
        limit = time.monotonic() + 60
        while not any(batch.counts.total == 40 for batch in farm.batches.list()):
            assert time.monotonic() < limit
            time.sleep(0.05)
        time.sleep(0.5)
        running.kill()
        running.communicate()
        for batch in list(farm.batches.list()):
            farm.batches.get(batch.id).delete()
    reader = Reader(hand)
    done = ocrfarm("batch", scans, "--out", out, url=gateway.url)
    reader.stop()
    assert done.returncode == 0, done.stderr
    assert results(out) == wanted(scans)


def test_other_formats_patterns_and_wrong_folders(
    gateway: Gateway, reader: Reader, scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = ocrfarm("batch", scans, "--out", out, "--format", "json", "--pattern", "box3/*", url=gateway.url)
    assert (done.returncode, "10 of 10" in done.stderr) == (0, True), done.stderr
    assert json.loads((out / "box3" / "3.png.json").read_text())["page_count"] == 1
    text = ocrfarm("batch", scans, "--out", out, "--pattern", "box3/*", url=gateway.url)
    assert (text.returncode, reader.read.total()) == (0, 10)  # fetched, not read again
    assert len(results(out)) == 10
    other = ocrfarm("batch", tmp_path, "--out", out, url=gateway.url)
    assert (other.returncode, "holds the results of" in other.stderr) == (1, True)
    assert ocrfarm("batch", tmp_path / "none", "--out", out, url=gateway.url).returncode == 1


def test_one_at_a_time_works_on_a_folder(scans: Path, tmp_path: Path) -> None:
    first = Manifest(tmp_path, scans, {})
    with pytest.raises(BadOption, match="Another"):
        Manifest(tmp_path, scans, {})
    first.close()
    Manifest(tmp_path, scans, {}).close()


def test_the_results_are_no_inputs(scans: Path) -> None:
    out = scans / "out"
    out.mkdir()
    (out / "a.png").write_bytes(png(1))
    assert len(list(walk(scans, out, None))) == 40
    assert len(list(walk(scans, out, "*.md"))) == 1


# ---------------------------------------------------------------------------------------------------- the clients


def test_the_clients_batch(gateway: Gateway, hand: Hand, letter: Path, tmp_path: Path) -> None:
    with Client(gateway.url) as farm:
        batch = farm.batches.open(tag="mine", options={"dpi": 100}, languages=["en"])
        items = batch.add(letter, png(8), b"rubbish", keys=["a", "b", "c"])
        assert [(item.key, item.state) for item in items] == [("a", "queued"), ("b", "queued"), ("c", "failed")]
        assert batch.add(letter, keys=["a"])[0].job == items[0].job
        batch.close()
        with pytest.raises(BatchClosed):
            batch.add(png(9))
        hand.later(0.3, "one")
        hand.later(0.6, "two")
        assert batch.wait(20).state == "partial"
        assert next(batch.items("ended")).number == 3
        assert [item.number for item in batch.items()] == [1, 2, 3]
        batch.save(tmp_path / "all.jsonl")
        rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
        assert {row["document"]["text"] for row in rows if row["document"]} == {"one", "two"}
        batch.save(tmp_path / "all.zip", "zip", "md")
        assert len(zipfile.ZipFile(tmp_path / "all.zip").namelist()) == 3
        assert farm.batches.get(batch.id).view.counts.refused == 1
        batch.delete()
        with pytest.raises(NotFound):
            batch.refresh()
        with pytest.raises(NotFound):
            batch.save(tmp_path / "none")


@pytest.mark.anyio
async def test_the_async_clients_batch(gateway: Gateway, hand: Hand, letter: Path, tmp_path: Path) -> None:
    async with AsyncClient(gateway.url) as farm:
        batch = await farm.batches.open()
        (item,) = await batch.add(letter)
        await batch.close()
        hand.later(0.3, "one")
        assert [one.job async for one in batch.items("ended")] == [item.job]
        assert (await batch.wait(20)).state == "succeeded"
        await batch.save(tmp_path / "all.csv", "csv")
        assert "one" in (tmp_path / "all.csv").read_text()
        assert [one.id async for one in farm.batches.list()] == [batch.id]
        assert (await farm.batches.get(batch.id)).view.state == "succeeded"
        with pytest.raises(Exception, match="nothing is left"):
            await batch.cancel()
        await batch.delete()


def test_help_is_there() -> None:
    assert "sends nothing twice" in " ".join(ocrfarm("batch", "--help").stdout.split())


def test_no_farm_is_one_sentence(scans: Path, tmp_path: Path) -> None:
    done: subprocess.CompletedProcess[str] = ocrfarm("batch", scans, "--out", tmp_path / "out")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
