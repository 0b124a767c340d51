"""The farm itself: profiles, what is alive, dead letters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from ocrfarm_api.callers import AnyCaller, Reader, Submitter, Watcher
from ocrfarm_api.deps import Farm, TheFarm
from ocrfarm_api.routes.answers import IdempotencyKey, JobId, accepted, as_json, problems
from ocrfarm_api.submit import again
from ocrfarm_shared.contracts import DeadLetter, FarmView, JobView, NodeView, ProfileLoad, ProfileView
from ocrfarm_shared.errors import BadOption, Internal, NotFound
from ocrfarm_shared.keys import Role
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.ledger.records import DeadJob, FarmState, nobody_reads
from ocrfarm_shared.profiles import default_profile, profiles
from ocrfarm_shared.version import commit, version

router = APIRouter(tags=["farm"])


@router.get("/v1/profiles")
async def list_profiles(_: AnyCaller) -> list[ProfileView]:
    """What can be asked for as `profile`."""
    return [
        ProfileView(
            name=profile.name,
            description=profile.description,
            models=list(profile.models),
            languages=list(profile.languages),
            default=profile.name == default_profile(),
        )
        for profile in profiles().values()
    ]


@router.get("/v1/farm", response_model=FarmView, responses=problems(503))
async def get_farm(farm: TheFarm, caller: Watcher) -> Response:
    """Which nodes are alive, how much waits and for how long, pages a minute."""
    state = await farm.ledger(calls.farm(caller.tenant))
    return as_json(
        FarmView(
            version=version(),
            commit=farm.settings.commit or commit(),
            nodes=nodes_of(state, whole=Role.ADMIN in caller.roles),
            slots=state.slots,
            queued_units=state.queued + state.published,
            running_units=state.running,
            oldest_queued_s=state.oldest_s,
            pages_per_minute=state.pages_per_minute,
            pages_total=state.stats.get("pages_read", 0),
            dead_letters=state.dead_letters,
            profiles=_profiles(state),
        )
    )


def _profiles(state: FarmState) -> list[ProfileLoad]:
    """What waits by profile, and whether anybody can read it."""
    told = [said.get("reads") for said in state.processes.values() if said.get("node") not in state.drained]
    slots = Counter(str(name) for reads in told for name in _texts(reads))
    out = []
    for name in sorted({*state.profiles, *slots}):
        load = state.profiles.get(name, {})
        queued = load.get("queued", 0) + load.get("published", 0)
        known = slots[name] or (None if None in told else 0)
        out.append(
            ProfileLoad(
                name=name,
                queued_units=queued,
                running_units=load.get("running", 0),
                slots=known,
                waiting_for=nobody_reads(name, state.slots) if queued and known == 0 else None,
            )
        )
    return out


def nodes_of(state: FarmState, *, whole: bool) -> list[NodeView]:
    """Worker processes by the node that they run on, with the pages that they read since each began.

    With `whole`: which units they read, of whatever tenant.
    """
    by_name: dict[str, list[dict[str, object]]] = {}
    for process, said in sorted(state.processes.items()):
        by_name.setdefault(str(said.get("node") or process), []).append({"process": process, **said})
    return [
        NodeView(
            name=name,
            slots=len(processes),
            version=str(processes[0].get("version") or ""),
            state=_state(name, processes, state),
            info={
                **_hosts(processes),
                "profiles": sorted({str(p) for said in processes for p in _texts(said.get("profiles"))}),
                **_capability(processes),
                "pages_read": sum(n for said in processes if isinstance(n := said.get("pages_read"), int)),
                **({"reading": [said["reading"] for said in processes if said.get("reading")]} if whole else {}),
            },
        )
        for name, processes in by_name.items()
    ]


def _state(name: str, processes: list[dict[str, object]], state: FarmState) -> str:
    """Drained is a node whose every process said, after it heard that it is to take no more, that it reads nothing: it may be switched off.
    What it said before tells nothing; between two pages, too, it reads nothing."""
    if name not in state.drained:
        return "serving"
    done = all(said["process"] in state.resting and not said.get("reading") for said in processes)
    return "drained" if done else "draining"


def _hosts(processes: list[dict[str, object]]) -> dict[str, object]:
    """What a process says of its machine: temperature, throttling, trouble. Any of them has it; the last is as good as the first."""
    return {k: v for said in processes if isinstance(host := said.get("host"), dict) for k, v in host.items()}


def _capability(processes: list[dict[str, object]]) -> dict[str, object]:
    """What a node can do, as its processes say (worker/capability.py, worker/own_pace.py): of a node that is just being renewed, the last
    one's word. `lines_per_s`: of one process; `pace`: seconds a page by profile, over all its processes."""
    last = processes[-1]
    out: dict[str, object] = {
        name: last[name] for name in ("cores", "memory_mb", "reads", "models", "commit") if name in last
    }
    benches = [bench for said in processes if isinstance(bench := said.get("benchmark"), dict)]
    if benches:
        best = max(benches, key=lambda bench: float(bench.get("lines_per_s") or 0))
        out |= {"lines_per_s": best.get("lines_per_s"), "benchmark_model": best.get("model")}
    paces: dict[str, tuple[float, int]] = {}
    for said in processes:
        for profile, (mean, count) in dict(said.get("pace") or {}).items():  # type: ignore[call-overload]
            seconds, pages = paces.get(profile, (0.0, 0))
            paces[profile] = (seconds + mean * count, pages + count)
    if "pace" in last:
        out["pace"] = {
            profile: round(seconds / pages, 3) for profile, (seconds, pages) in sorted(paces.items()) if pages
        }
    return out


def _texts(value: object) -> list[object]:
    return value if isinstance(value, list) else []


_CURSOR = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?-job_[0-9a-f]{32}")


@router.get("/v1/dead-letters", responses=problems(422, 503))
async def list_dead_letters(
    response: Response,
    farm: TheFarm,
    caller: Reader,
    cursor: Annotated[str | None, Query(description="As the former answer's Link header gave it.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 200,
) -> list[DeadLetter]:
    """Jobs that failed for good through no fault of the document, newest first, each with every attempt, but for the log lines.

    Where there are more, the header `Link: <address>; rel="next"` (RFC 8288) says where.
    """
    if cursor is not None and not _CURSOR.fullmatch(cursor):
        raise BadOption("`cursor` must be what the former answer's Link header gave.")
    found = await farm.ledger(calls.list_dead_letters(caller.tenant, cursor=cursor, limit=limit))
    if found.cursor:
        response.headers["Link"] = f'</v1/dead-letters?cursor={found.cursor}&limit={limit}>; rel="next"'
    return [_with_logs(_letter(job), lambda _: []) for job in found.letters]


@router.get("/v1/dead-letters/{job_id}", responses=problems(404, 422, 503))
async def get_dead_letter(farm: TheFarm, caller: Reader, job_id: JobId) -> DeadLetter:
    """One dead letter: its cause, and every attempt with its node, process, times, error and last log lines.

    Tracebacks are shown where the key has the role `admin` too: they tell of the farm's inside, not of the document.
    """
    letter = _letter(await _dead(farm, caller.tenant, job_id))
    return letter if Role.ADMIN in caller.roles else _with_logs(letter, _without_traceback)


def _with_logs(letter: DeadLetter, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> DeadLetter:
    attempts = [attempt.model_copy(update={"log": change(attempt.log)}) for attempt in letter.attempts]
    return letter.model_copy(update={"attempts": attempts})


def _without_traceback(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name != "traceback"} for line in log]


async def _dead(farm: Farm, tenant: str, job_id: str) -> DeadJob:
    """Raises NotFound; another tenant's is not found either."""
    found = [job for job in await farm.ledger(calls.dead_letters(tenant, job_id=job_id)) if job.dead]
    if not found:
        raise NotFound(
            f"There is no dead letter {job_id!r} here; GET /v1/dead-letters (`ocrfarm dead list`) shows yours."
        )
    return found[0]


def _letter(job: DeadJob) -> DeadLetter:
    return DeadLetter(
        id=job.id,
        failed_at=job.ended or 0.0,
        failure=job.failure or Internal().failure(),
        filename=job.filename,
        tag=job.tag,
        profile=job.profile,
        replayable=not job.gone,
        attempts=job.attempts,
    )


@router.post(
    "/v1/dead-letters/{job_id}/replay",
    status_code=202,
    response_model=JobView,
    responses=problems(404, 410, 422, 429, 503),
)
async def replay(farm: TheFarm, caller: Submitter, job_id: JobId, idempotency_key: IdempotencyKey = None) -> Response:
    """Read a dead letter's document again. Answers a new job (Location); the dead letter stays as it is, until its document expires."""
    await _dead(farm, caller.tenant, job_id)
    return accepted(await again(farm, caller, job_id, idempotency_key or None))
