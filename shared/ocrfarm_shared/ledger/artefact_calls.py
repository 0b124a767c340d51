"""The ledger's calls about artefacts (ocrfarm_shared.artefacts): asked for by the gateway, made by a worker.

The first asking starts a run of its own, with one unit, so that lease, attempts and fairness are those of reading. What came of it stands
in the hash `run:SOURCE:m` of the run that it is made of, and goes with that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ocrfarm_shared.artefacts import Artefact
from ocrfarm_shared.contracts import ARTEFACT_SCHEMA, Failure
from ocrfarm_shared.ledger.calls import Call, new_id

MOST_MAKING = 100  # artefacts of one tenant that are being made at once
MOST_KEPT = 500  # of one run; then the one that was asked for first goes
AGAIN_S = 60.0  # after the farm failed to make one, it is tried again at the earliest


@dataclass(frozen=True)
class Asked:
    """`ready`: in `blob`, `size` bytes. `making`: `run_id` is under way. `failed`: `failure` says why. `early`: the job has not ended.

    `full`: this tenant has too many under way; come again in `seconds`. `gone`: the job's result has expired.
    """

    outcome: Literal["ready", "making", "failed", "early", "full", "gone", "unknown"]
    run_id: str = ""
    blob: str = ""
    size: int = 0
    failure: Failure | None = None
    seconds: float = 0.0

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Asked:
        failure = answer.get("failure")
        return cls(
            answer["outcome"],
            run_id=answer.get("run", ""),
            blob=answer.get("blob", ""),
            size=answer.get("size", 0),
            failure=Failure.model_validate(failure) if failure else None,
            seconds=answer.get("seconds", 0.0),
        )


def ask(
    tenant: str, job_id: str, artefact: Artefact, *, most_making: int = MOST_MAKING, lost: str | None = None
) -> Call[Asked]:
    """An artefact of a job: where it is, or that it is now being made. `lost`: the blob that a former answer named is not there."""
    arguments = {
        "tenant": tenant,
        "job": job_id,
        "name": artefact.name,
        "page": artefact.page,
        "of_result": artefact.form == "pdf",
        "run_id": new_id("run"),
        "schema": ARTEFACT_SCHEMA,
        "most_making": most_making,
        "most_kept": MOST_KEPT,
        "again_s": AGAIN_S,
        "lost": lost,
    }
    return Call("ask", Asked.of, arguments)


def made(unit: str, token: int, blob: str, size: int) -> Call[bool]:
    """Record an artefact that was made, once its blob is stored. False: nobody wants it any more, and nothing was written."""
    arguments = {"unit": unit, "token": token, "blob": blob, "size": size}
    return Call("made", lambda a: bool(a["recorded"]), arguments)
