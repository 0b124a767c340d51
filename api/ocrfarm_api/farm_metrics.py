"""The farm as the ledger sees it, as Prometheus' families.

What the farm does is counted in the ledger, by the transition that does it (or, for timings, by the workers' heartbeats): such a counter
never goes back when a gateway or a worker starts anew, and every gateway tells the same. So with several gateways as targets it must not be
added up: `max without (instance) (...)`.

Labels are few and bounded, because each combination is a series that Prometheus keeps for weeks: profiles, models, stages, priorities and
error codes are the release's own (and the models that the operator added), nodes are machines. No tenant, no job, no process: those have
no end, and tenants would stand readable in a system that more people see than the ledger. What is beyond MOST values of a label is put
together as `other` (bounded_labels.py).
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ocrfarm_api.bounded_labels import MOST, OTHER, kept
from ocrfarm_api.node_metrics import figure, nodes
from ocrfarm_shared import counting
from ocrfarm_shared.contracts import Priority
from ocrfarm_shared.errors import DocumentError, FarmError, OcrFarmError
from ocrfarm_shared.ledger.records import FarmState

# Of the ledger's counters: each is told from the first scrape on, as 0, or the first event would be no increase to Prometheus.
COUNTERS: Mapping[str, str] = {
    "jobs_submitted": "Jobs accepted, cache hits included.",
    "jobs_succeeded": "Jobs that ended with all their pages read, cache hits included.",
    "jobs_partial": "Jobs that ended with some of their pages read.",
    "jobs_failed": "Jobs that ended with nothing read.",
    "jobs_cancelled": "Jobs that were cancelled.",
    "jobs_dead": "Jobs that became dead letters: failed for good through no fault of the document.",
    "cache_hits": "Jobs answered from the cache, without reading.",
    "runs_joined": "Jobs that joined a reading of the same document which was under way.",
    "pages_read": "Pages read and recorded, each once.",
    "lines_read": "Lines of text in the pages read.",
    "stale_writes": "Results that came after their unit had been given to somebody else, and were refused.",
    "refused_over_quota": "Documents refused because their tenant was over a quota (429).",
    "refused_farm_full": "Documents refused because the farm's queue was full (503).",
    "processes_lost": "Worker processes that left without a farewell: killed, or cut off.",
    "artefacts_made": "Page pictures and searchable PDFs made.",
    "batches_created": "Batches begun.",
    "batches_succeeded": "Batches that ended with all their documents read.",
    "batches_partial": "Batches that ended with some of their documents read.",
    "batches_failed": "Batches that ended with nothing read.",
    "batches_cancelled": "Batches that were cancelled.",
    "batch_items_refused": "Files of batches that became no job.",
    "webhooks_delivered": "Webhooks taken by their target.",
    "webhooks_failed": "Deliveries of a webhook that failed and are tried again.",
    "webhooks_given_up": "Webhooks that nobody took in all the time that they were tried.",
}
HISTOGRAMS: Mapping[str, tuple[str, str, str]] = {
    counting.STAGE: ("stage_seconds", "stage", "One stage of one page's reading."),
    counting.MODEL: ("model_seconds", "model", "One call of ONNX Runtime: a page for detectors, a few lines for recognisers."),
    counting.PAGE: ("page_seconds", "profile", "One page, from a process' claim to the recorded result."),
    counting.WAIT: ("wait_seconds", "priority", "A document, from its acceptance to the first process that took it up."),
    counting.READING: ("reading_seconds", "priority", "A document, from its acceptance to its last page; cache hits are none."),
}  # fmt: skip
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,60}")
_GAUGES = ("pages_behind", "swept_at")


@dataclass(frozen=True)
class Room:
    """What is left on this gateway's disk of uploads and in Redis, in bytes; 0 for Redis' limit where it has none or does not say."""

    disk_free: int
    disk_size: int
    disk_reserve: int
    redis_used: int
    redis_most: int


class FarmCollector(Collector):
    """One scrape. `state` None: the ledger does not answer."""

    def __init__(self, state: FarmState | None, room: Room | None, about: Mapping[str, str]) -> None:
        self._state, self._room, self._about = state, room, about

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("ocrfarm_build", "What this gateway runs.", dict(self._about))
        yield _gauge("ledger_up", "1 where the ledger answers this gateway.", 0 if self._state is None else 1)
        if self._room is not None:
            yield from _room(self._room)
        if self._state is not None:
            yield from _now(self._state)
            yield from nodes(self._state)
            yield from _counters(self._state.stats)
            yield from _histograms(self._state.stats)


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"ocrfarm_{name}", told, value)


def _room(room: Room) -> Iterator[Metric]:
    yield _gauge("disk_free_bytes", "Free on the file system of the uploads, as this gateway sees it.", room.disk_free)
    yield _gauge("disk_size_bytes", "Size of the file system of the uploads.", room.disk_size)
    yield _gauge("disk_reserve_bytes", "With less free than this, uploads are refused (503).", room.disk_reserve)
    if room.redis_used > 1:  # else Redis does not say
        yield _gauge("redis_memory_bytes", "Memory that Redis uses for its data.", room.redis_used)
        yield _gauge("redis_memory_limit_bytes", "Redis' maxmemory; 0: none is set.", room.redis_most)


def _now(state: FarmState) -> Iterator[Metric]:
    yield _gauge("slots", "Worker processes alive.", state.slots)
    yield _gauge("jobs_active", "Jobs accepted that have not ended.", state.active_jobs)
    yield _gauge(
        "oldest_unit_seconds",
        "Age of the unit that has waited longest for a process; 0 when none waits.",
        state.oldest_s or 0,
    )
    yield _gauge("pages_per_minute", "Pages read in the last whole minute.", state.pages_per_minute)
    yield _gauge("dead_letters", "Dead letters kept, of the tenant whose key scrapes.", state.dead_letters)
    yield _gauge("outbox", "Webhooks that wait to be sent.", state.outbox)
    yield _gauge("pages_behind", "Known pages of long documents that are in no lane yet.", behind(state))
    units = GaugeMetricFamily(
        "ocrfarm_units", "Pages and plans: queued, published to a worker's queue, running.", labels=("profile", "state")
    )
    for (profile,), counts in kept({(name,): counts for name, counts in state.profiles.items()}, _add_counts).items():
        for unit_state, number in sorted(counts.items()):
            units.add_metric((profile, unit_state), number)
    yield units
    seconds = backlog_s(state)
    if seconds is not None:
        yield _gauge(
            "backlog_seconds",
            "How long the processes alive would need for everything that waits, at their own latest pace; +Inf with none alive.",
            seconds,
        )
    if "swept_at" in state.stats:
        yield _gauge(
            "sweep_age_seconds",
            "Since a dispatcher last took back what was lost and ended what was due.",
            max(0.0, state.now - state.stats["swept_at"]),
        )


def behind(state: FarmState) -> int:
    return max(0, state.stats.get("pages_behind", 0))


def backlog_s(state: FarmState) -> float | None:
    """Seconds of work that wait, for the whole farm: its units and pages by the processes' pace together. None while no page was ever
    read: nobody knows the pace."""
    units = state.queued + state.published + state.running + behind(state)
    if units == 0:
        return 0.0
    if not state.processes:
        return math.inf
    known = [page_s for said in state.processes.values() if (page_s := figure(said.get("page_s"))) > 0]
    if known:
        mean = sum(1 / page_s for page_s in known) / len(known)
    else:
        found = _buckets(state.stats, counting.PAGE)
        pages, seconds = (
            sum(sum(one.counts.values()) for one in found.values()),
            sum(one.sum_s for one in found.values()),
        )
        if not pages or not seconds:
            return None
        mean = pages / seconds
    return units / (mean * len(state.processes))


def _add_counts(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
    return {state: a.get(state, 0) + b.get(state, 0) for state in a.keys() | b.keys()}


# ---------------------------------------------------------------------------------------------------- counters


def _counters(stats: Mapping[str, int]) -> Iterator[Metric]:
    known = dict.fromkeys(COUNTERS, 0) | {
        name: n for name, n in stats.items() if _FIELD.fullmatch(name) and name not in (*_GAUGES, "attempts_failed")
    }
    for name, number in sorted(known.items())[: len(COUNTERS) + MOST]:
        yield CounterMetricFamily(f"ocrfarm_{name}", COUNTERS.get(name, "Counted by a newer release."), number)
    yield _attempts(stats)
    lines = CounterMetricFamily(
        "ocrfarm_lines",
        "Lines read, by the model that had the last word and its step: first, main, fallback; in profiles without a cascade only, reread.",
        labels=("profile", "step", "model"),
    )
    found = {tuple(field.split(":")[1:]): n for field, n in stats.items() if field.startswith(f"{counting.LINES}:")}
    for labels, number in kept({key: n for key, n in found.items() if len(key) == 3}, int.__add__).items():
        lines.add_metric(labels, number)
    yield lines


def _attempts(stats: Mapping[str, int]) -> Metric:
    """By error code, and whose trouble it was: the document's, or the farm's own."""
    attempts = CounterMetricFamily(
        "ocrfarm_attempts_failed",
        "Attempts at a unit that failed, by error code; kind: the document's own trouble or the farm's.",
        labels=("code", "kind"),
    )
    kinds = {kind.code: "document" for kind in _below(DocumentError)} | {
        kind.code: "farm" for kind in _below(FarmError)
    }
    left = stats.get("attempts_failed", 0)
    for code, whose in sorted(kinds.items()):
        number = stats.get(f"attempts_failed:{code}", 0)
        attempts.add_metric((code, whose), number)
        left -= number
    # Counted by an older release without its code, or of an error that this one does not know.
    attempts.add_metric((OTHER, "farm"), max(0, left))
    return attempts


def _below(kind: type[OcrFarmError]) -> Iterator[type[OcrFarmError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


# ---------------------------------------------------------------------------------------------------- histograms


@dataclass
class _Durations:
    """`counts`: observations by upper bound, not cumulative."""

    counts: dict[float, int]
    sum_s: float = 0.0


def _buckets(stats: Mapping[str, int], name: str) -> dict[tuple[str, ...], _Durations]:
    """The histogram's durations by its label. A bound that this release does not know is counted in the next greater one that it does."""
    out: dict[tuple[str, ...], _Durations] = defaultdict(lambda: _Durations({}))
    for field, n in stats.items():
        parts = field.split(":")
        if parts[0] != name or len(parts) < 3:
            continue
        if parts[2:] == ["us"]:
            out[(parts[1],)].sum_s += n / 1e6
        elif len(parts) == 4 and parts[2] == "le" and (bound := _bound(parts[3])) is not None:
            own = next((b for b in counting.BOUNDS[name] if b >= bound), math.inf)
            counts = out[(parts[1],)].counts
            counts[own] = counts.get(own, 0) + n
    return out


def _bound(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _added(a: _Durations, b: _Durations) -> _Durations:
    return _Durations({at: a.counts.get(at, 0) + b.counts.get(at, 0) for at in a.counts | b.counts}, a.sum_s + b.sum_s)


def _histograms(stats: Mapping[str, int]) -> Iterator[Metric]:
    for name, (told_as, by, told) in HISTOGRAMS.items():
        family = HistogramMetricFamily(f"ocrfarm_{told_as}", told, labels=(by,))
        found = kept(_buckets(stats, name), _added)
        if by == "priority":
            found = {(priority.value,): _Durations({}) for priority in Priority} | found
        for labels, durations in found.items():
            total, rows = 0, []
            for bound in (*counting.BOUNDS[name], math.inf):
                total += durations.counts.get(bound, 0)
                rows.append(("+Inf" if bound == math.inf else f"{bound:g}", float(total)))
            family.add_metric(labels, rows, durations.sum_s)
        yield family
