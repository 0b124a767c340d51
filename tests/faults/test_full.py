"""Redis full, disk full: 503 with Retry-After, no half-made job, and the farm recovers by itself."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.faults.pages import check_numbered, idle, quick, slow, submit_numbered, until
from tests.running_farm import RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.timeout(400)]


def post(farm: RunningFarm, page: bytes, **fields: str) -> httpx.Response:
    return farm.http.post("/v1/jobs", files={"file": ("x.png", page)}, data=fields)


def check_refusal(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["code"] in ("farm_full", "farm_unavailable")
    assert answer.json()["retryable"] is True
    assert 1 <= int(answer.headers["retry-after"]) <= 600


def listed(farm: RunningFarm, tag: str) -> set[str]:
    """Every job with this tag, over all pages of the list."""
    found: set[str] = set()
    cursor: dict[str, Any] = {}
    while True:
        answer = farm.http.get("/v1/jobs", params={"tag": tag, "limit": 200} | cursor).json()
        found |= {job["id"] for job in answer["jobs"]}
        if not answer.get("cursor"):
            return found
        cursor = {"cursor": answer["cursor"]}


@pytest.mark.row(n=10)
def test_redis_full(start_farm: Callable[..., RunningFarm]) -> None:
    """Full in earnest: somebody else's data has taken all of it. Nothing new comes in; what has lived its time goes all the same, else a
    farm that its own records have filled would never be free again."""
    farm = start_farm(
        heartbeat_s=1, lease_s=4, sweep_s=1, soft_time_limit_s=10, hard_time_limit_s=12, visibility_timeout_s=14, result_ttl_s=25,
    )  # fmt: skip
    (first,) = submit_numbered(farm, 1)
    check_numbered(farm, [first], farm.wait([first]))
    with farm.redis() as connection:
        for n in range(20):
            connection.set(f"filler{n}", bytes(100_000))
        time.sleep(2)  # what was only lent to the filling is given back
        connection.config_set("maxmemory", connection.info("memory")["used_memory"] - 200_000)
        for n in range(5):
            check_refusal(post(farm, quick(f"Page number {200 + n}"), tag="full"))
        assert listed(farm, "full") == set(), "a job that was refused is there all the same"
        until(
            lambda: farm.http.get(f"/v1/jobs/{first}/result").status_code == 410, 90, "nothing expires in a full Redis"
        )
        check_refusal(post(farm, quick("Page number 300"), tag="full"))
        connection.delete(*(f"filler{n}" for n in range(20)))
    until(
        lambda: post(farm, quick("Page number 301"), tag="later").status_code == 202, 120, "it never took a job again"
    )
    jobs = [*listed(farm, "later"), *submit_numbered(farm, 2)]
    assert {view["state"] for view in farm.wait(jobs).values()} == {"succeeded"}
    assert listed(farm, "full") == set()
    assert idle(farm)


@contextmanager
def tmpfs(farm: RunningFarm) -> Iterator[Callable[[], None]]:
    """The uploads on a file system of 2 MB, filled; the call makes room."""
    blobs = farm.state / "blobs"
    filler = blobs / "filler"
    with filler.open("wb", buffering=0) as file:

        def fill() -> None:
            while True:
                file.write(bytes(4096))

        with pytest.raises(OSError, match="No space"):
            fill()
    yield lambda: filler.unlink()


@contextmanager
def file_size_limit(farm: RunningFarm) -> Iterator[Callable[[], None]]:
    """No file system can be mounted here: the gateway may write no file of more than 1 kB, which its kernel answers as a disk's end."""
    gateway = psutil.Process(farm.pid("api"))
    gateway.rlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    yield lambda: gateway.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def check_disk_full(farm: RunningFarm, filled: Any) -> None:
    jobs = submit_numbered(farm, 2, slow)
    with filled(farm) as make_room:
        before = {p for p in (farm.state / "blobs").rglob("*") if p.is_file()}
        page = quick("Page number 102")
        for _ in range(3):
            check_refusal(post(farm, page, tag="full"))
        assert listed(farm, "full") == set(), "a job whose upload could not be kept was made"
        after = {p for p in (farm.state / "blobs").rglob("*") if p.is_file()}
        assert after <= before, "half an upload was left"
        assert farm.http.get("/livez").status_code == 200
        check_numbered(farm, jobs, farm.wait(jobs))  # what was accepted is read meanwhile
        make_room()
    until(lambda: post(farm, page, tag="full").status_code == 202, 60, "it never took an upload again")
    (job,) = listed(farm, "full")
    assert farm.wait([job])[job]["state"] == "succeeded"


@pytest.mark.row(n=10)
def test_disk_full(tmp_path: Path, start_farm: Callable[..., RunningFarm]) -> None:
    """A real file system's end: a tmpfs of 2 MB under the uploads."""
    blobs = tmp_path / "farm0" / "blobs"
    blobs.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(blobs)]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip(
            "mounting a file system is not allowed here; the next test fills the disk by a limit of the process"
        )
    try:
        farm = start_farm(min_free_disk_mb=0)  # the guard would refuse before it is full
        check_disk_full(farm, tmpfs)
        farm.stop()
    finally:
        subprocess.run(["umount", "-l", str(blobs)], check=True)


@pytest.mark.row(n=10)
def test_no_file_may_grow(start_farm: Callable[..., RunningFarm]) -> None:
    check_disk_full(start_farm(), file_size_limit)
