"""`/metrics`: the farm's figures are the ledger's, requests are the gateway's own; labels have an end."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.api.running_gateway import Gateway

from ocrfarm_api.bounded_labels import MOST
from ocrfarm_api.farm_metrics import COUNTERS, FarmCollector, Room, backlog_s
from ocrfarm_shared.counting import MODEL, Tally
from ocrfarm_shared.errors import WorkerLost
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.ledger.records import FarmState

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found: Samples, name: str, **labels: str) -> float:
    return found[(name, frozenset(labels.items()))]


def scraped(gateway: Gateway) -> Samples:
    return samples(gateway.http.get("/metrics").text)


def state(**changes: Any) -> FarmState:
    plain: dict[str, Any] = {
        "slots": 0, "active_jobs": 0, "queued": 0, "published": 0, "running": 0, "oldest_s": None, "pages_per_minute": 0, "dead_letters": 0,
        "outbox": 0, "now": 1000.0, "stats": {}, "profiles": {}, "processes": {},
    }  # fmt: skip
    return FarmState(**plain | changes)


def told(farm: FarmState, room: Room | None = None) -> Samples:
    registry = CollectorRegistry()
    registry.register(FarmCollector(farm, room, {"version": "1"}))
    return samples(generate_latest(registry).decode())


def test_counters_are_there_before_anything_happened(gateway: Gateway) -> None:
    """A counter that appears with its first event is no increase to Prometheus."""
    found = scraped(gateway)
    assert {name for name in COUNTERS if of(found, f"ocrfarm_{name}_total") == 0} == set(COUNTERS)
    assert of(found, "ocrfarm_attempts_failed_total", code="worker_lost", kind="farm") == 0
    assert of(found, "ocrfarm_attempts_failed_total", code="unreadable", kind="document") == 0
    assert of(found, "ocrfarm_wait_seconds_count", priority="interactive") == 0


def test_the_farms_counters_outlive_gateways_and_are_the_same_in_each(make_gateway: Callable[..., Gateway]) -> None:
    first, second = make_gateway(), make_gateway()
    first.hire()
    first.submit()
    second.submit()
    first.read()
    first.ledger(calls.heartbeat("node:1", {"node": "node"}, lease_s=15, counters={"lines:p:first:m": 4}))
    names = ("ocrfarm_jobs_submitted_total", "ocrfarm_pages_read_total", "ocrfarm_jobs_succeeded_total")
    for gateway in (first, second, make_gateway()):  # the third has just been started: what others counted is there
        found = scraped(gateway)
        assert [of(found, name) for name in names] == [2, 1, 1]
        assert of(found, "ocrfarm_lines_total", profile="p", step="first", model="m") == 4
    posts = {"method": "POST", "route": "/v1/jobs", "status": "202"}
    assert [of(scraped(g), "ocrfarm_http_requests_total", **posts) for g in (first, second)] == [1, 1]


def test_histograms_add_up(gateway: Gateway) -> None:
    tally = Tally()
    for seconds in (0.004, 0.02, 0.02, 700):
        tally.observe(MODEL, "det", seconds)
    gateway.ledger(calls.heartbeat("node:1", {"node": "node"}, lease_s=15, counters=tally.take()))
    found = scraped(gateway)
    name = "ocrfarm_model_seconds"
    counts = {le: of(found, f"{name}_bucket", model="det", le=le) for le in ("0.005", "0.01", "0.025", "120", "+Inf")}
    assert counts == {"0.005": 1, "0.01": 1, "0.025": 3, "120": 3, "+Inf": 4}
    assert of(found, f"{name}_count", model="det") == 4
    assert math.isclose(of(found, f"{name}_sum", model="det"), 700.044)


def test_a_bucket_of_another_release_is_counted_where_it_belongs() -> None:
    found = told(state(stats={"model_s:det:le:0.007": 2, "model_s:det:le:0.01": 1, "model_s:det:le:nonsense": 9}))
    assert of(found, "ocrfarm_model_seconds_bucket", model="det", le="0.005") == 0
    assert of(found, "ocrfarm_model_seconds_bucket", model="det", le="0.01") == 3
    assert of(found, "ocrfarm_model_seconds_count", model="det") == 3


def test_labels_have_an_end() -> None:
    """A node that makes up names, by mistake or malice, fills Prometheus no further."""
    stats = {f"lines:p:first:model{n:05}": 1 for n in range(5000)} | {f"model_s:m{n}:le:1": 1 for n in range(5000)}
    stats |= {f"made_up_{n}": 1 for n in range(5000)}
    processes = {f"p{n}": {"node": f"node{n}", "version": f"{n}"} for n in range(5000)}
    found = told(state(stats=stats, processes=processes))
    assert len(found) < 40 * MOST
    assert of(found, "ocrfarm_lines_total", profile="other", step="other", model="other") == 5000 - MOST
    assert of(found, "ocrfarm_node_processes", node="other") == 5000 - MOST
    assert of(found, "ocrfarm_model_seconds_count", model="other") == 5000 - MOST


def test_the_backlog_in_seconds_of_work() -> None:
    waiting: dict[str, Any] = {"queued": 10, "published": 4, "running": 2, "stats": {"pages_behind": 34}}
    two = {"fast": {"node": "a", "page_s": 1.0}, "slow": {"node": "b", "page_s": 4.0}}
    assert backlog_s(state(**waiting, processes=two)) == 50 / 1.25
    # One that has read nothing yet counts as the mean of the others.
    assert backlog_s(state(**waiting, processes=two | {"new": {"node": "c"}})) == 50 / (1.25 * 1.5)
    assert backlog_s(state(processes=two)) == 0
    assert backlog_s(state(**waiting)) == math.inf
    fresh = {"new": {"node": "c", "page_s": None}}
    assert backlog_s(state(**waiting, processes=fresh)) is None
    known = waiting["stats"] | {"page_s:p:le:5": 10, "page_s:p:us": 20_000_000}
    assert backlog_s(state(**waiting | {"stats": known}, processes=fresh)) == 100
    assert of(told(state(**waiting)), "ocrfarm_backlog_seconds") == math.inf


def test_nodes_and_their_memory(gateway: Gateway) -> None:
    gateway.hire("a:1", node="a", memory=3_000_000, version="1")
    gateway.hire("a:2", node="a", memory=5_000_000, version="2")
    gateway.hire("b:1", node="b", version="2")
    found = scraped(gateway)
    assert of(found, "ocrfarm_nodes") == 2
    assert of(found, "ocrfarm_node_processes", node="a") == 2
    assert of(found, "ocrfarm_node_memory_bytes", node="a") == 8_000_000
    assert of(found, "ocrfarm_node_largest_process_bytes", node="a") == 5_000_000
    assert of(found, "ocrfarm_processes", version="2") == 2


def test_a_nodes_warmth_where_it_says(gateway: Gateway) -> None:
    gateway.hire("a:1", node="a", host={"temperature_c": 61.5, "throttled": ["under-voltage"]})
    gateway.hire("b:1", node="b", host={"temperature_c": 40.0, "throttled": []})
    gateway.hire("c:1", node="c", host={})
    found = scraped(gateway)
    assert of(found, "ocrfarm_node_temperature_celsius", node="a") == 61.5
    assert of(found, "ocrfarm_node_throttled", node="a") == 1
    assert of(found, "ocrfarm_node_throttled", node="b") == 0
    named = {dict(labels).get("node") for name, labels in found if name.startswith("ocrfarm_node_t")}
    assert named == {"a", "b"}


def test_failed_attempts_by_code_and_whose_they_were(gateway: Gateway) -> None:
    gateway.hire()
    gateway.submit()
    gateway.fail(WorkerLost())
    gateway.ledger.redis.hincrby(f"{gateway.settings.namespace}:stats", "attempts_failed", 2)  # an older release's
    found = scraped(gateway)
    assert of(found, "ocrfarm_attempts_failed_total", code="worker_lost", kind="farm") == 1
    assert of(found, "ocrfarm_attempts_failed_total", code="other", kind="farm") == 2
    assert of(found, "ocrfarm_jobs_dead_total") == 1


def test_disk_and_redis(gateway: Gateway) -> None:
    found = scraped(gateway)
    assert 0 < of(found, "ocrfarm_disk_free_bytes") < of(found, "ocrfarm_disk_size_bytes")
    assert of(found, "ocrfarm_disk_reserve_bytes") == 500_000_000
    assert of(found, "ocrfarm_redis_memory_bytes") > 100_000
    assert of(found, "ocrfarm_redis_memory_limit_bytes") == 0
    assert of(found, "process_resident_memory_bytes") > 10_000_000


def test_a_request_that_is_held_on_purpose_is_not_slow(gateway: Gateway) -> None:
    gateway.hire()
    here = gateway.submit().headers["location"]
    begun = time.monotonic()
    assert gateway.http.get(here, params={"wait": 1.5}).status_code == 200
    assert time.monotonic() - begun > 1.4
    found = scraped(gateway)
    labels = {"method": "GET", "route": "/v1/jobs/{job_id}"}
    assert of(found, "ocrfarm_http_request_seconds_count", **labels) == 1
    assert of(found, "ocrfarm_http_request_seconds_sum", **labels) < 0.7


def test_a_sender_who_is_slow_makes_no_slow_gateway(gateway: Gateway) -> None:
    def slowly() -> Any:
        yield b'{"base64": "'
        time.sleep(1.5)
        yield b'aGVsbG8="}'

    answer = gateway.http.post("/v1/jobs", content=slowly(), headers={"content-type": "application/json"})
    assert answer.status_code == 415
    labels = {"method": "POST", "route": "/v1/jobs"}
    assert of(scraped(gateway), "ocrfarm_http_request_seconds_sum", **labels) < 0.7


def test_a_stream_is_measured_to_its_beginning(gateway: Gateway) -> None:
    gateway.hire()
    here = gateway.submit().headers["location"]
    finish = threading.Timer(1.2, gateway.read)
    finish.start()
    with gateway.http.stream("GET", f"{here}/events") as stream:
        assert "succeeded" in "".join(stream.iter_text())
    finish.join()
    labels = {"method": "GET", "route": "/v1/jobs/{job_id}/events"}
    found = scraped(gateway)
    assert of(found, "ocrfarm_http_request_seconds_count", **labels) == 1
    assert of(found, "ocrfarm_http_request_seconds_sum", **labels) < 0.7


def test_no_id_and_no_tenant_stands_in_a_label(gateway: Gateway) -> None:
    gateway.hire("some-process:77", node="n")
    job = gateway.submit(tag="a-tag").headers["location"].rpartition("/")[2]
    gateway.read()
    text = gateway.http.get("/metrics").text
    assert not re.search(r"job_|run_|default\"|a-tag|some-process", text)
    assert job not in text
