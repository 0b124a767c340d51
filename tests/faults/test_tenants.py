"""Row 14: the same file as another tenant, another tenant's id. A real farm reads it twice, and tells neither of the other."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import pytest

from tests.running_farm import ENDED, ROOT, RunningFarm

LETTER = ROOT / "samples" / "letter.png"


def keys(farm: RunningFarm, *arguments: str) -> str:
    """`ocrfarm keys`, as the owner of the farm's machine types it."""
    environment = {name: value for name, value in farm.environment.items() if name != "OCRFARM_API_KEY"}
    done = subprocess.run(
        [sys.executable, "-m", "ocrfarm", "keys", *arguments],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def client(farm: RunningFarm, key: str) -> httpx.Client:
    return httpx.Client(
        base_url=farm.http.base_url, headers={"Authorization": f"Bearer {key}"}, timeout=90, trust_env=False
    )


def read(http: httpx.Client, **fields: str) -> dict[str, object]:
    answer = http.post("/v1/jobs", files={"file": ("letter.png", LETTER.read_bytes())}, data=fields)
    assert answer.status_code in (200, 202), answer.text
    job = answer.json()
    limit = time.monotonic() + 200
    while job["state"] not in ENDED:
        assert time.monotonic() < limit
        job = http.get(f"/v1/jobs/{job['id']}", params={"wait": 20}).json()
    assert job["state"] == "succeeded", job
    return dict(job)


@pytest.mark.farm
@pytest.mark.row(n=14)
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_row_14_the_same_file_and_the_id_of_another_tenant(start_farm: Callable[..., RunningFarm]) -> None:
    farm = start_farm(workers=1)
    assert farm.http.get("/v1/jobs").status_code == 200  # on this machine, while there is no key
    first, second = (keys(farm, "create", "--tenant", tenant, "--quiet") for tenant in ("ann", "bob"))
    assert farm.http.get("/v1/jobs").status_code == 401
    with client(farm, first) as ann, client(farm, second) as bob:
        hers = read(ann)
        assert hers["cached"] is False
        assert read(ann)["cached"] is True
        before = pages_read(ann)
        his = read(bob)
        assert his["cached"] is False  # a hit would tell him that somebody sent this file before
        assert pages_read(bob) == before + 1
        for path in ("", "/result", "/pages", "/result?format=txt"):
            other, never = bob.get(f"/v1/jobs/{hers['id']}{path}"), bob.get(f"/v1/jobs/job_{'0' * 32}{path}")
            assert (other.status_code, other.json()["code"]) == (404, "not_found")
            assert other.text.replace(str(hers["id"]), "ID") == never.text.replace(f"job_{'0' * 32}", "ID")
        for method, path in (("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")):
            assert bob.request(method, f"/v1/jobs/{hers['id']}{path}").status_code == 404
        assert ann.get(f"/v1/jobs/{hers['id']}/result?format=txt").text.strip()
        assert {job["id"] for job in bob.get("/v1/jobs").json()["jobs"]} == {his["id"]}

        with_client = subprocess.run(
            [sys.executable, "-m", "ocrfarm", "submit", str(LETTER), "--out", "-"],
            env=farm.environment | {"OCRFARM_API_KEY": first}, cwd=ROOT, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert with_client.returncode == 0, with_client.stderr
        assert with_client.stdout.strip() == ann.get(f"/v1/jobs/{hers['id']}/result?format=txt").text.strip()

        keys(farm, "revoke", second)
        assert bob.get("/v1/jobs").status_code == 401
        assert ann.get("/v1/jobs").status_code == 200


def pages_read(http: httpx.Client) -> int:
    return int(http.get("/v1/farm").json()["pages_total"])
