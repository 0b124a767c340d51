"""Counters on a farm whose parts come and go: none is lost, none counts twice, whichever gateway is asked."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from tests.faults.pages import quick, until
from tests.running_farm import RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.slow, pytest.mark.timeout(300)]


def told(farm: RunningFarm) -> dict[str, float]:
    """A scrape over a connection of its own: of two gateways on one address, either may answer."""
    text = farm.http.get("/metrics", headers={"Connection": "close"}).text
    return {m[1]: float(m[2]) for m in re.finditer(r"^(ocrfarm_\S+) (\S+)$", text, re.M)}


def test_counters_outlive_every_part(tmp_path: Path) -> None:
    """Worker processes are replaced after two pages each, the pool is restarted, a gateway is killed: ten pages are ten."""
    page_count = 'ocrfarm_page_seconds_count{profile="balanced"}'
    posts = 'ocrfarm_http_requests_total{method="POST",route="/v1/jobs",status="202"}'
    with RunningFarm(tmp_path / "farm", gateways=2, max_tasks_per_child=2) as farm:
        farm.wait([farm.submit(quick(f"Page number {n}"), cache="off") for n in range(10)])
        pool = farm.kill("worker", signal.SIGTERM)  # what its processes have counted comes with their farewell
        farm.wait_restarted("worker", pool, 90)
        killed = farm.kill("api")
        farm.wait_restarted("api", killed)
        until(lambda: told(farm)["ocrfarm_slots"] == 2, 90, "the pool did not come back")
        for _ in range(6):
            found = told(farm)
            assert found["ocrfarm_pages_read_total"] == found["ocrfarm_jobs_submitted_total"] == 10
            assert found[page_count] == found['ocrfarm_wait_seconds_count{priority="normal"}'] == 10
            assert found[posts] == 10
        with farm.redis() as connection:  # whoever is still in there without living will be counted as lost
            assert connection.zcount("of:slots", "-inf", time.time()) == 0
