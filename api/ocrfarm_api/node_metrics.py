"""The machines that read, by what their processes said of themselves at their last heartbeat."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from ocrfarm_api.bounded_labels import kept
from ocrfarm_shared.ledger.records import FarmState


def figure(value: object) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def nodes(state: FarmState) -> Iterator[Metric]:
    by_node: dict[tuple[str, ...], list[float]] = defaultdict(list)
    versions: dict[tuple[str, ...], int] = defaultdict(int)
    for process, said in state.processes.items():
        by_node[(str(said.get("node") or process),)].append(figure(said.get("memory")))
        versions[(str(said.get("version") or "unknown"),)] += 1
    yield GaugeMetricFamily("ocrfarm_nodes", "Machines (or containers) with a worker process alive.", len(by_node))
    processes = GaugeMetricFamily("ocrfarm_node_processes", "Worker processes alive, by node.", labels=("node",))
    memory = GaugeMetricFamily(
        "ocrfarm_node_memory_bytes",
        "Resident memory of a node's worker processes and those that open documents for them.",
        labels=("node",),
    )
    largest = GaugeMetricFamily(
        "ocrfarm_node_largest_process_bytes",
        "Resident memory of the largest of them, the process that opens its documents included.",
        labels=("node",),
    )
    for node, sizes in kept(by_node, list.__add__).items():
        processes.add_metric(node, len(sizes))
        memory.add_metric(node, sum(sizes))
        largest.add_metric(node, max(sizes))
    yield from (processes, memory, largest)
    yield from _warmth(state)
    by_version = GaugeMetricFamily("ocrfarm_processes", "Worker processes alive, by release.", labels=("version",))
    for version, number in kept(versions, int.__add__).items():
        by_version.add_metric(version, number)
    yield by_version


def _warmth(state: FarmState) -> Iterator[Metric]:
    """Of the nodes that say so; which is known of a machine, not of a process."""
    heat: dict[tuple[str, ...], float] = {}
    held_back: dict[tuple[str, ...], float] = {}
    for process, said in state.processes.items():
        node: tuple[str, ...] = (str(said.get("node") or process),)
        host = said.get("host")
        if isinstance(host, dict):
            if "temperature_c" in host:
                heat[node] = figure(host["temperature_c"])
            if "throttled" in host:
                held_back[node] = 1.0 if host["throttled"] else 0.0
    degrees = GaugeMetricFamily(
        "ocrfarm_node_temperature_celsius", "Of a node's processor, where the node says.", labels=("node",)
    )
    throttled = GaugeMetricFamily(
        "ocrfarm_node_throttled",
        "1 where a node's machine is held back now, by heat or too little voltage; where the node says.",
        labels=("node",),
    )
    for family, values in ((degrees, heat), (throttled, held_back)):
        for labels, value in kept(values, max).items():
            family.add_metric(labels, value)
        yield family
