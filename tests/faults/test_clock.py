"""A node whose clock is off: leases and deadlines would lie, so it does not start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocrfarm_shared.settings import Settings
from tests.running_farm import INJECT, ROOT

pytestmark = [pytest.mark.farm, pytest.mark.timeout(200)]


@pytest.mark.row(n=8)
@pytest.mark.parametrize(("offset", "said"), [(3600, "3600 s ahead"), (-3600, "3600 s behind")])
def test_a_clock_an_hour_off(farm_settings: Settings, tmp_path: Path, offset: int, said: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OCRFARM_")}
    environment |= farm_settings.environment() | {
        "OCRFARM_WORKERS": "1",
        "OCRFARM_MODEL_FOLDER": str(ROOT / ".ocrfarm" / "models"),
        "FAULTS_CLOCK_OFFSET_S": str(offset),
        "PYTHONPATH": str(INJECT),
    }
    out = tmp_path / "worker.log"
    with out.open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "ocrfarm", "worker"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        status: int | None = worker.wait(60)
    except subprocess.TimeoutExpired:
        status = None
        os.killpg(worker.pid, 9)
        worker.wait()
    told = " ".join(out.read_text().split())
    assert status == 4, f"a worker whose clock is an hour off started: {told[-300:]}"
    assert "clock is" in told
    assert said in told
    assert "timedatectl" in told, "it must say what to do"
