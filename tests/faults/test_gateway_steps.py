"""The gateway killed between each two steps of a submission: the job ends, or was never accepted, and nothing of it is left for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.faults.pages import quick, until
from tests.running_farm import INJECT, RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.timeout(400)]

DIE = '__import__("sitecustomize").die("{}")'
SUBMIT, BLOBS, SPOOL = "api/ocrfarm_api/submit.py", "shared/ocrfarm_shared/blobs.py", "api/ocrfarm_api/spool.py"


def before(step: str, file: str, line: str) -> tuple[str, str, str]:
    """A patch: die before this line of the product."""
    indent = line[: len(line) - len(line.lstrip())]
    return (file, "\n" + line, f"\n{indent}{DIE.format(step)}\n{line}")


# Each step of a submission that has become durable, or that somebody else sees, in order; the gateway dies before the next.
STEPS = {
    "the upload is written": before("the upload is written", SPOOL, "        self._close()\n\n    def _remove"),
    "the upload is received": before(
        "the upload is received", SUBMIT, "    versions = read_with(get_profile(submission.ocr.profile))"
    ),
    "the upload is pinned": before("the upload is pinned", SUBMIT, "        await store()"),
    "its folder is made": before("its folder is made", BLOBS, "        temporary.replace(target)"),
    "it is renamed": before("it is renamed", BLOBS, "        handle = os.open(target, os.O_RDONLY)"),
    "it is on the disk": before("it is on the disk", BLOBS, "        return target"),
    "it is stored": before("it is stored", SUBMIT, "        answer = await farm.ledger(calls.stored(call))"),
    "the job is recorded": before(
        "the job is recorded",
        SUBMIT,
        "    assert answer.record is not None\n    return answer.record\n\n\nasync def add(",
    ),
}

# What takes an hour, five minutes and one minute takes seconds here.
SOON = [
    ("api/ocrfarm_api/dispatcher.py", "HOUSEKEEPING_S = 3600.0", "HOUSEKEEPING_S = 8.0"),
    ("api/ocrfarm_api/dispatcher.py", "REAP_GRACE_S = 60.0", "REAP_GRACE_S = 1.0"),
    ("shared/ocrfarm_shared/ledger/calls.py", "PIN_SECONDS = 300.0", "PIN_SECONDS = 8.0"),
]


@pytest.mark.row(n=9)
def test_the_gateway_dies_at_each_step_of_a_submission(start_farm: Callable[..., RunningFarm]) -> None:
    farm = start_farm(workers=1, sweep_s=1, patches=[*STEPS.values(), *SOON])
    kept = []
    for n, step in enumerate(STEPS):
        page, tag, key = quick(f"Page number {100 + n}"), f"step{n}", f"submission-{n}"

        def post(page: bytes = page, tag: str = tag, key: str = key) -> httpx.Response:
            return farm.http.post(
                "/v1/jobs", files={"file": ("x.png", page)}, data={"tag": tag}, headers={"Idempotency-Key": key}
            )

        old = farm.pid("api")
        (farm.state / "die-at").write_text(step)
        with pytest.raises(httpx.TransportError):
            post()
        farm.wait_restarted("api", old)
        until(lambda: farm.http.get("/livez").status_code == 200, 60, "the gateway did not come back")
        assert not (farm.state / "die-at").exists(), step

        # What the ledger knows of it ends well though nobody asks again. The client never got an answer, so none is owed to it either.
        jobs = [job["id"] for job in farm.http.get("/v1/jobs", params={"tag": tag}).json()["jobs"]]
        assert len(jobs) == (1 if step == "the job is recorded" else 0), step
        for view in farm.wait(jobs).values():
            assert view["state"] == "succeeded", (step, view)

        # A client that had no answer says it again under the same Idempotency-Key: one job, which succeeds.
        if n % 2 or step == "the job is recorded":
            answer = post()
            assert answer.status_code in (200, 202), answer.text
            again = answer.json()["id"]
            assert not jobs or again == jobs[0], "the same submission made a second job"
            assert farm.wait([again])[again]["state"] == "succeeded", step
            assert farm.text(again).split()[-1] == str(100 + n)
            kept.append(again)

    assert farm.http.get("/livez").status_code == 200

    def names() -> set[str]:
        return {str(p.relative_to(farm.state / "blobs")) for p in files(farm)}

    until(lambda: len(files(farm)) == len(kept), 90, f"orphans are left: {names()}")
    for job in kept:
        assert farm.http.delete(f"/v1/jobs/{job}").status_code == 204
    until(lambda: not files(farm), 90, f"uploads without a job are left: {names()}")


def files(farm: RunningFarm) -> list[Path]:
    return [p for p in (farm.state / "blobs").rglob("*") if p.is_file()]


def test_the_steps_are_in_the_product() -> None:
    """Each patch's place is there once; INJECT would refuse to start a farm otherwise, and say less."""
    root = INJECT.parents[2]
    for file, old, _ in [*STEPS.values(), *SOON]:
        assert (root / file).read_text("utf8").count(old) == 1, (file, old)
