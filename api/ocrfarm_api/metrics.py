"""Prometheus metrics: this gateway's requests, and the farm as the ledger sees it at the moment of the scrape (farm_metrics.py).

Requests are counted by the gateway that answers them, in its memory: a command of Redis for each would double what a cheap request costs.
So such a counter begins at zero with its process, which Prometheus' `rate` and `increase` know how to read, and each gateway is a target
of its own; those that share one address by `OCRFARM_GATEWAYS` count in files of one folder, and any of them tells the sum.
"""

from __future__ import annotations

import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ocrfarm_api.farm_metrics import FarmCollector, Room
from ocrfarm_api.holding import measured
from ocrfarm_shared.ledger.records import FarmState

# `…_created`, a second series for each: Prometheus does without.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no types

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
            "Until the answer began, without the time in which the gateway waited for the sender's bytes or held the request on purpose.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def text(self, state: FarmState | None, room: Room | None, version: str, commit: str) -> bytes:
        """The exposition format. `state` None: the ledger does not answer."""
        farm = CollectorRegistry()
        farm.register(FarmCollector(state, room, {"version": version, "commit": commit}))
        return generate_latest(self._of_all_gateways()) + generate_latest(farm)

    def _of_all_gateways(self) -> CollectorRegistry:
        """What this gateway counted, and what its process takes; where several share one address and a folder of counters, what all of
        them did."""
        everybody = CollectorRegistry()
        try:
            MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]  # its constructor has no types
        except ValueError:  # no such folder is named: this one stands alone
            everybody.register(self.registry)
            ProcessCollector(registry=everybody)
        return everybody


class Measure:
    """Counts and times every request by its route's pattern, never by its path: ids would make series without end."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, begun, receiving, answered = 0, time.perf_counter(), 0.0, 0.0

        async def hearing() -> Message:
            nonlocal receiving
            asked = time.perf_counter()
            message = await receive()
            if not answered:
                receiving += time.perf_counter() - asked
            return message

        async def sending(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], time.perf_counter()
            await send(message)

        with measured() as held:
            try:
                await self._app(scope, hearing, sending)
            finally:
                route = getattr(scope.get("route"), "path", None) or "other"
                method = scope["method"] if scope["method"] in _METHODS else "other"
                own = (answered or time.perf_counter()) - begun - receiving - sum(held)
                self._metrics.requests.labels(method, route, str(status)).inc()
                self._metrics.seconds.labels(method, route).observe(max(0.0, own))
