"""What a stream tells about jobs: their state, their progress, each page that is done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from ocrfarm_api.deps import Farm
from ocrfarm_api.streams import LAST_ID, Told
from ocrfarm_shared.contracts import JobView, Progress
from ocrfarm_shared.errors import NotFound
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.ledger.records import JobRecord


@dataclass
class _Seen:
    """What was told about one job."""

    run_id: str
    state: str = ""
    progress: Progress = field(default_factory=Progress)
    position: int | None = None
    pages: set[int] = field(default_factory=set)


class JobTeller:
    """Follows some jobs of one tenant until each has ended. Where none of them is there it is NotFound.

    Events: `page` {id, number}, in no order; `progress` {id, state, progress, queue_position}; `state` the whole JobView, at first and
    whenever the state changes, after the pages that are done by then; `gone` {id} for a job that is not there, or was deleted meanwhile.
    """

    def __init__(self, farm: Farm, tenant: str, ids: Sequence[str], view: Callable[[JobRecord], JobView]) -> None:
        self._farm, self._tenant, self._ids, self._view = farm, tenant, list(dict.fromkeys(ids)), view
        self._seen: dict[str, _Seen] = {}
        self._begun = False
        self.ended = False

    @property
    def names(self) -> set[str]:
        return {name for job_id, seen in self._seen.items() for name in (job_id, seen.run_id)}

    async def look(self, heard: Collection[str] | None) -> list[Told]:
        asked = [i for i in self._ids if heard is None or i in heard or self._seen[i].run_id in heard]
        if not asked:
            return []
        records = await self._farm.ledger(calls.view(self._tenant, asked))
        if not self._begun and not records:
            raise NotFound(f"There is no job {self._ids[0][:64]!r} here, or its record has expired.")
        told = self._without(asked, records)
        for record in records:
            if record.id not in self._seen:
                self._seen[record.id] = _Seen(record.run_id)
        fresh = [r for r in records if r.view.progress.pages_done > len(self._seen[r.id].pages) and not r.gone]
        done = await self._farm.ledger(calls.done_pages([r.run_id for r in fresh])) if fresh else []
        numbers = {record.id: found for record, found in zip(fresh, done, strict=True)}
        for record in records:
            told += self._news(record, numbers.get(record.id, []))
        self._begun = True
        self._ids = [i for i in self._ids if i in self._seen]
        self.ended = not self._ids
        if self.ended and told:
            told[-1] = Told(told[-1].event, told[-1].data, LAST_ID)
        return told

    def _without(self, asked: Sequence[str], records: Sequence[JobRecord]) -> list[Told]:
        """Jobs that were asked for and are not there. One that was told of before was deleted."""
        there = {record.id for record in records}
        missing = [i for i in asked if i not in there]
        self._ids = [i for i in self._ids if i not in missing]
        return [Told("gone", {"id": i}) for i in missing if self._seen.pop(i, None) is not None or not self._begun]

    def _news(self, record: JobRecord, numbers: Sequence[int]) -> list[Told]:
        seen, view = self._seen[record.id], record.view
        told: list[Told] = []
        new = sorted(set(numbers) - seen.pages)
        seen.pages.update(new)
        told += [Told("page", {"id": record.id, "number": number}) for number in new]
        if (view.progress, view.queue_position) != (seen.progress, seen.position):
            seen.progress, seen.position = view.progress, view.queue_position
            told.append(Told("progress", _progress(view)))
        if view.state != seen.state:
            seen.state = view.state
            told.append(Told("state", self._view(record)))
        if view.state.ended:
            del self._seen[record.id]
        return told


def _progress(view: JobView) -> dict[str, Any]:
    return view.model_dump(mode="json", include={"id", "state", "progress", "queue_position"})
