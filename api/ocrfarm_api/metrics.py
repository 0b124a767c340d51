"""Prometheus metrics: this gateway's requests, and the farm as the ledger sees it at the moment of the scrape."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ocrfarm_shared.ledger.records import FarmState

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Metrics:
    """A registry of this application's own, so that two in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "ocrfarm_http_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "ocrfarm_http_request_seconds",
            "From the request's headers to the end of the answer; long polls are held on purpose.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def text(self, state: FarmState | None, version: str, commit: str) -> bytes:
        """The exposition format. `state` None: the ledger does not answer."""
        farm = CollectorRegistry()
        farm.register(_FarmCollector(state, version, commit))
        return generate_latest(self._of_all_gateways()) + generate_latest(farm)

    def _of_all_gateways(self) -> CollectorRegistry:
        """What this gateway counted; where several share one address and a folder of counters, what all of them did."""
        everybody = CollectorRegistry()
        try:
            MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]  # its constructor has no types
        except ValueError:  # no such folder is named: this one stands alone
            return self.registry
        return everybody


class _FarmCollector(Collector):
    def __init__(self, state: FarmState | None, version: str, commit: str) -> None:
        self._state = state
        self._about = {"version": version, "commit": commit}

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("ocrfarm_build", "What is running.", self._about)
        state = self._state
        yield GaugeMetricFamily("ocrfarm_ledger_up", "1 where the ledger answers.", 0 if state is None else 1)
        if state is None:
            return
        plain: list[tuple[str, str, float]] = [
            ("slots", "Worker processes alive.", state.slots),
            ("jobs_active", "Jobs accepted that have not ended.", state.active_jobs),
            ("oldest_unit_seconds", "Age of the unit that has waited longest; 0 when none waits.", state.oldest_s or 0),
            ("pages_per_minute", "Pages read in the last whole minute.", state.pages_per_minute),
            ("dead_letters", "Jobs that failed for good through no fault of the document.", state.dead_letters),
            ("outbox", "Webhooks that wait to be sent.", state.outbox),
        ]
        for name, help_text, value in plain:
            yield GaugeMetricFamily(f"ocrfarm_{name}", help_text, value)
        units = GaugeMetricFamily(
            "ocrfarm_units",
            "Pages and plans: queued, published to a worker's queue, running.",
            labels=("profile", "state"),
        )
        for profile, counts in sorted(state.profiles.items()):
            for unit_state, number in sorted(counts.items()):
                units.add_metric((profile, unit_state), number)
        yield units
        for name, number in sorted(state.stats.items()):
            yield CounterMetricFamily(
                f"ocrfarm_{re.sub('[^a-zA-Z0-9_]', '_', name)}", "Counted by the ledger since it began.", number
            )


class Measure:
    """Counts and times every request by its route's pattern, never by its path: ids would make series without end."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", None) or "other"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(method, route).observe(time.perf_counter() - started)
