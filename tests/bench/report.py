"""The benchmarks' results as tables a person reads."""

from __future__ import annotations

from typing import Any


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in lines)


def _ratio(a: float | None, b: float | None) -> str:
    return f"{a / b:.2f}" if a and b else ""


def _speed(figures: dict[str, Any]) -> str:
    best = figures["best"]
    other = best.get("rapidocr, 2 threads", {})
    peer, peer_core = other.get("pages_per_s"), other.get("core_s", 0) / other.get("pages", 1)
    rows = []
    for name, result in best.items():
        inside = best.get(name.replace("farm x 2", "in-process x 2"), {}).get("pages_per_s") if "farm" in name else None
        rows.append([
            name, f"{result['pages_per_s']:.2f}", f"{result['core_s'] / result['pages']:.3f}",
            _ratio(result["pages_per_s"], peer), _ratio(result["core_s"] / result["pages"], peer_core),
            _ratio(result["pages_per_s"], inside),
        ])  # fmt: skip
    return _table(
        ["", "pages a second", "core-seconds a page", "x RapidOCR, 2 threads", "its core-seconds", "x in-process"], rows
    )


def _latency(figures: dict[str, Any]) -> str:
    return _table(["", "p50 ms", "p95 ms", "p99 ms", "n"], [
        [name, f["p50_ms"], f["p95_ms"], f["p99_ms"], f["n"]] for name, f in figures.items()
    ])  # fmt: skip


def _memory(figures: dict[str, Any]) -> str:
    marks = list(next(iter(figures.values())))
    return _table(["MB (PSS)", *marks], [[name, *(f[mark] for mark in marks)] for name, f in figures.items()])


def _accuracy(figures: dict[str, Any]) -> str:
    profiles = list(figures)
    groups = figures[profiles[0]]["groups"]
    rows = [
        [group, row["n"], *(f"{figures[p]['groups'][group]['head']:.3f}" for p in profiles)]
        for group, row in groups.items()
    ]
    return _table(["group", "files", *profiles], rows)


def _fairness(figures: dict[str, Any]) -> str:
    rows = [
        [
            name,
            f["p50_s"],
            f["p95_s"],
            f["max_s"],
            f["n"],
            f.get("times_idle_p95", "1"),
            f.get("queued_before", 0),
            f.get("pages_per_s", ""),
        ]
        for name, f in figures.items()
    ]
    head = [
        "B's single page, one a second",
        "p50 s",
        "p95 s",
        "longest s",
        "n",
        "x p95 idle",
        "A's pages queued",
        "pages a second, A and B",
    ]
    return _table(head, rows)


def _overload(figures: dict[str, Any]) -> str:
    answers = ", ".join(f"{n} x {status}" for status, n in figures["answers"].items())
    rows = [
        ["the farm's rate before, pages a second", figures["rate_before"]],
        [
            "sent",
            f"{figures['asked_per_s']} a second for {figures['seconds']:g} s; the farm takes {figures['max_queued']} at once",
        ],
        ["answered", answers],
        ["neither 202 nor 429 nor 503", figures["other_than_202_429_503"]],
        ["refused without Retry-After", figures["refused_without_retry_after"]],
        ["Retry-After told, s", ", ".join(map(str, figures["retry_after_s"]))],
        ["accepted; of them ended well", f"{figures['accepted']}; {figures['ended']}"],
        ["p95 of a 202; of a refusal, s", f"{figures['accepted_p95_s']}; {figures['refused_p95_s']}"],
        ["rate during the flood; after it", f"{figures['rate_during']}; {figures['rate_after']}"],
    ]
    weighed = figures["memory_mb"]
    parts = list(next(iter(weighed.values())))
    memory = [[when, *(row[part] for part in parts)] for when, row in weighed.items()]
    return _table(["", ""], rows) + "\n\n" + _table(["MB (PSS)", *parts], memory)


def _start(figures: dict[str, Any]) -> str:
    head = ["a new process", "median ms", "least ms", "processor ms", "n"]
    keys = ("median_ms", "least_ms", "processor_ms", "n")
    return _table(head, [[name, *(f[key] for key in keys)] for name, f in figures.items()])


def _scaling(figures: dict[str, Any]) -> str:
    return _table(["workers, each page 0.2 s of sleep", "pages a second", "of linear", "of 5 a second each", "pages"], [
        [n, f["pages a second"], f["of linear"], f["of 5 a second each"], f["pages"]] for n, f in figures.items()
    ])  # fmt: skip


def _coordination(figures: dict[str, Any]) -> str:
    drained = {name: row for name, row in figures.items() if name != "operations"}
    parts = list(next(iter(drained.values()))["processor ms a page"])
    rates = _table(["pages that take no time", "page jobs a second", *(f"ms a page: {part}" for part in parts)], [
        [name, row["page jobs a second"], *(row["processor ms a page"][part] for part in parts)] for name, row in drained.items()
    ])  # fmt: skip
    seen = figures["operations"]
    kinds = [["sent by clients", seen["sent"]], ["inside of scripts", seen["inside scripts"]]]
    counted = _table(["Redis operations a page", "together", "each"], [
        [kind, round(sum(found.values()), 2), ", ".join(f"{name} {n:g}" for name, n in found.items())] for kind, found in kinds
    ])  # fmt: skip
    return f"{rates}\n\n{counted}"


def _uneven(figures: dict[str, Any]) -> str:
    many, few = figures["many"], figures["few"]
    return _table(["two workers, one five times slower", "makespan s", "ideal s", "over ideal"], [
        [f"{many['pages']} pages", many["makespan s"], many["ideal s"], many["over ideal"]],
        [f"{', '.join(map(str, few['pages']))} pages, mean", "", "", few["mean over ideal"]],
        ["the same without the rule that leaves the end to the faster one", "", "", few["without the rule"]],
    ])  # fmt: skip


def _small_lines(figures: dict[str, Any]) -> str:
    ways = {name: row for name, row in figures.items() if isinstance(row, dict)}
    parts = list(next(iter(ways.values()))["processor ms a line"])
    rows = [
        [
            name,
            row["lines a second"],
            round(sum(row["processor ms a line"].values()), 1),
            *(row["processor ms a line"][part] for part in parts),
        ]
        for name, row in ways.items()
    ]
    head = ["small pictures of a line", "lines a second", "processor ms a line", *parts]
    times = ", ".join(f"{value} {name}" for name, value in figures.items() if name.startswith("times "))
    return f"{_table(head, rows)}\n\nOne batch, lines a second: {times}."


_SECTIONS = {
    "speed": ("Speed", _speed),
    "latency": ("Gateway", _latency),
    "memory": ("Memory of a worker with two processes", _memory),
    "fairness": ("Fairness: a tenant's bulk, another's single pages", _fairness),
    "overload": ("Overload: ten times the farm's rate", _overload),
    "start": ("How quickly the command and the library are there", _start),
    "scaling": ("Simulated workers", _scaling),
    "coordination": ("What the coordination costs", _coordination),
    "uneven": ("Nodes that differ", _uneven),
    "small_lines": ("Small pictures in a batch", _small_lines),
    "accuracy": ("Accuracy (each group's headline)", _accuracy),
}


def markdown(results: dict[str, Any]) -> str:
    """All parts that have figures, each with the command that made it."""
    out = ["# Figures", "", "Made by `make bench EVAL=FOLDER` (`python -m tests.bench`); do not edit.", ""]
    for part, (title, table) in _SECTIONS.items():
        if part in results:
            row = results[part]
            out += [
                f"## {title}", "", table(row["figures"]), "",
                f"`python -m tests.bench{' --eval FOLDER' if row['pages'] == 'EVAL' else ''} --only {part}`, {row['at'][:10]}, "
                f"commit {row['commit']}, {row['cores']} cores, {row['machine']}.", "",
            ]  # fmt: skip
    return "\n".join(out)
