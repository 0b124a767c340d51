"""What a node says that it can do, and which queues it consumes by that."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocrfarm_models.engines import Engines
from ocrfarm_shared.errors import ModelUnavailable, UnknownProfile
from ocrfarm_shared.profiles import get_profile, model_versions, profiles
from ocrfarm_shared.queue import make_app
from ocrfarm_shared.settings import Settings, read_settings, settings
from ocrfarm_worker import capability as module
from ocrfarm_worker.capability import capability, generated_lines, lines_per_s, memory_mb, preloaded, readable

READY = "crnn-captcha"  # nothing of it is made on the node, as models of all other profiles are


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Settings]]:
    """A node's settings; nothing is built on it but what is said."""

    def make(**given: str) -> Settings:
        monkeypatch.setenv("OCRFARM_MODEL_FOLDER", str(tmp_path / "models"))
        for name, value in given.items():
            monkeypatch.setenv(f"OCRFARM_{name.upper()}", value)
        settings.cache_clear()
        module._find.cache_clear()
        return settings()

    yield make
    monkeypatch.undo()
    settings.cache_clear()
    module._find.cache_clear()


def test_a_node_reads_what_it_has_the_models_of(node: Callable[..., Settings]) -> None:
    reads = readable(node())
    assert reads == [READY]
    can = capability(node())
    assert can.reads == (READY,)
    assert can.models == model_versions(get_profile(READY))
    assert can.cores >= 1
    assert 100 < can.memory_mb == memory_mb()


def test_a_node_can_be_kept_to_some(node: Callable[..., Settings]) -> None:
    conf = node(profiles=f" {READY},")
    assert readable(conf) == [READY]
    assert preloaded(conf, [READY]) == [READY], "not the default profile, which it does not read"
    with pytest.raises(ModelUnavailable, match="models build"):
        readable(node(profiles=f"{READY},accurate-int8"))
    with pytest.raises(UnknownProfile, match="nonesuch"):
        readable(node(profiles="nonesuch"))


def test_what_a_farm_preloads_is_held_to_what_the_node_reads(node: Callable[..., Settings]) -> None:
    assert preloaded(node(profiles=READY, preload=f"accurate-int8,{READY}"), [READY]) == [READY]
    assert preloaded(node(profiles=READY, preload="accurate-int8"), [READY]) == [READY]


def test_a_node_without_the_default_profiles_models_says_so_when_it_starts(node: Callable[..., Settings]) -> None:
    with pytest.raises(ModelUnavailable, match="models build"):
        preloaded(node(), [READY])
    assert preloaded(node(preload=READY), [READY]) == [READY]


def test_only_the_queues_of_what_is_read_are_consumed() -> None:
    conf = read_settings({}, redis_url="redis://127.0.0.1:1/0")
    queues = [queue.name for queue in make_app(conf, reads=["fast"]).conf.task_queues]
    assert queues == ["of:q:fast"]
    assert len(make_app(conf).conf.task_queues) == len(profiles())


def test_the_benchmark_is_short_and_reads_what_is_there(engines: Engines) -> None:
    lines = generated_lines(8)
    assert len({line.tobytes() for line in lines}) == 8
    texts = [text.text for text in engines.recognizer.read(lines)]
    assert all(len(text) >= 12 for text in texts), texts
    begun = time.perf_counter()
    rate = lines_per_s(engines.recognizer)
    took = time.perf_counter() - begun
    assert rate > 8 / took / 4
    assert took < 0.5 + 3 * 8 / rate, "half a second, or one round where that takes longer"
    told = capability(settings()).measured(engines.recognizer).told()
    assert told["benchmark"]["model"] == engines.recognizer.spec.id
    assert told["benchmark"]["lines_per_s"] > 0


def test_a_pool_that_could_read_nothing_does_not_start(tmp_path: Path, redis_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ocrfarm", "worker"],
        env={
            "PATH": "/usr/bin:/bin", "OCRFARM_REDIS_URL": redis_url, "OCRFARM_PROFILES": "accurate",
            "OCRFARM_MODEL_FOLDER": str(tmp_path), "OCRFARM_STATE": str(tmp_path),
        },
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "models build" in done.stderr
