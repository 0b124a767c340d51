"""Writes the reference from the code: `make reference`. tests/unit/test_reference.py says when it is old.

Settings from `Settings`, commands from the command line itself, HTTP from the gateway's own description, errors from their tree, metrics
from what `/metrics` would say, alerts from infra/monitoring/alerts.yml.
"""

from __future__ import annotations

import inspect
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/reference/make.py; change the code, not this. -->\n\n"


def settings() -> str:
    from pydantic_core import PydanticUndefined

    from ocrfarm_shared.settings import IN_FILES, PREFIX, Settings, takes

    rows = []
    for name, field in Settings.model_fields.items():
        said = int(field.default) if isinstance(field.default, bool) else field.default
        default = "" if said in (PydanticUndefined, None, "") else f"`{said}`"
        rows.append((f"`{PREFIX}{name.upper()}`", takes(name), default, field.description or ""))
    files = ", ".join(f"`{PREFIX}{name.upper()}_FILE`" for name in IN_FILES)
    return (
        "# Settings\n\nEach is a variable of the environment. Durations are seconds. Secrets may stand in files, which "
        f"{files} name.\n\n" + table(("setting", "takes", "default", "what it says"), rows)
    )


def commands() -> str:
    from typer.main import get_command

    from ocrfarm.cli import build

    out = ["# Commands\n\nWhat is shown depends on what is installed; these are all, with `ocrfarm[farm,train]`.\n"]
    out += _commands(get_command(build()), "ocrfarm")
    return "\n".join(out)


def _commands(command: Any, name: str) -> Iterator[str]:
    for short, one in sorted(getattr(command, "commands", {}).items()):
        if one.hidden:
            continue
        if hasattr(one, "commands"):
            if one.invoke_without_command:
                yield from _command(one, f"{name} {short}")
            yield from _commands(one, f"{name} {short}")
            continue
        yield from _command(one, f"{name} {short}")


def _command(one: Any, name: str) -> Iterator[str]:
    yield f"## {name}\n\n{one.help or ''}\n"
    rows = []
    for parameter in one.params:
        if parameter.name == "help" or getattr(parameter, "hidden", False):
            continue
        written = (
            ", ".join(f"`{option}`" for option in parameter.opts)
            if parameter.opts[0].startswith("-")
            else parameter.name.upper()
        )
        rows.append((written, getattr(parameter, "help", None) or ""))
    if rows:
        yield table(("option", "what it does"), rows)


def http() -> str:
    from ocrfarm_api.main import create_app
    from ocrfarm_shared.settings import read_settings

    with tempfile.TemporaryDirectory() as state:
        found = create_app(read_settings({}, redis_url="redis://127.0.0.1:1", state=state)).openapi()
    out = ["# HTTP\n\nThe same, to be tried out, at `/docs` of a running gateway; for programs at `/openapi.json`.\n"]
    for path, methods in sorted(found["paths"].items()):
        for method, call in methods.items():
            out.append(f"## {method.upper()} {path}\n\n{call.get('description', call.get('summary', ''))}\n")
            rows = [
                (f"`{p['name']}`", p["in"], _kind(p["schema"]), p.get("description", ""))
                for p in call.get("parameters", [])
            ]
            body = call.get("requestBody", {}).get("content", {})
            for kind, content in body.items():
                fields = content["schema"].get("properties", {})
                rows += [(f"`{n}`", kind, _kind(s), s.get("description", "")) for n, s in fields.items()]
            if rows:
                out.append(table(("name", "where", "type", "what it says"), rows))
            answers = [(status, told["description"]) for status, told in sorted(call["responses"].items())]
            out.append(table(("answer", "when"), answers))
    return "\n".join(out)


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    several = schema.get("anyOf") or schema.get("allOf")
    if several:
        return " or ".join(dict.fromkeys(_kind(one) for one in several if one.get("type") != "null"))
    return str(schema.get("$ref", schema.get("type", ""))).rpartition("/")[2]


def errors() -> str:
    from ocrfarm_shared.errors import OcrFarmError

    def below(kind: type[OcrFarmError]) -> Iterator[type[OcrFarmError]]:
        for child in kind.__subclasses__():
            if child.__module__ == OcrFarmError.__module__:
                yield child
                yield from below(child)

    rows = [
        (f"`{kind.code}`", str(kind.status), "yes" if kind.retryable else "", kind.default)
        for kind in below(OcrFarmError)
        if kind.__name__ not in ("RequestError", "DocumentError", "FarmError")
    ]
    return (
        "# Errors\n\nOver HTTP as `application/problem+json`: `code` is stable, `detail` says what to do. In Python as classes of "
        "these names in `ocrfarm_shared.errors`.\n\n"
        + table(("code", "HTTP status", "retryable", "what it says"), rows)
    )


def metrics() -> str:
    from ocrfarm_api.farm_metrics import COUNTERS, HISTOGRAMS, FarmCollector, Room
    from ocrfarm_api.metrics import Metrics
    from ocrfarm_shared.ledger.records import FarmState

    # A farm of which each figure has a value, so that its labels can be seen.
    stats = dict.fromkeys(COUNTERS, 0) | {"swept_at": 1, "lines:profile:step:model": 1}
    stats |= {f"{name}:{by}:le:1": 1 for name, (_, by, _) in HISTOGRAMS.items()}
    process = {"node": "node", "version": "1", "page_s": 1.0, "memory": 1}
    state = FarmState(
        slots=1, active_jobs=0, queued=0, published=0, running=0, oldest_s=None, pages_per_minute=0, dead_letters=0, outbox=0, now=1,
        stats=stats, profiles={"profile": {"queued": 0}}, processes={"p": process},
    )  # fmt: skip
    gateway = Metrics()
    gateway.requests.labels("GET", "/", "200").inc()
    gateway.seconds.labels("GET", "/").observe(1)
    families = [*gateway.registry.collect(), *FarmCollector(state, Room(1, 1, 1, 2, 2), {"version": "1"}).collect()]
    rows = []
    for family in families:
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        rows.append((f"`{name}`", family.type, ", ".join(f"`{one}`" for one in labels), family.documentation))
    return (
        "# Metrics\n\nAt `/metrics` of every gateway. Beside them stand Python's own `process_…` of the gateway's process. "
        "[Watch it](../how-to/watch-it.md) says how they are counted.\n\n"
        + table(("metric", "type", "labels", "what it says"), rows)
    )


def alerts() -> str:
    import yaml

    rules = yaml.safe_load((HERE.parents[1] / "infra/monitoring/alerts.yml").read_text("utf8"))["groups"][0]["rules"]
    out = [
        "# Alerts\n\nThe rules stand in `infra/monitoring/alerts.yml`. Each has unit tests (`alerts_test.yml`) and was "
        "[drilled](../alert-drills.md) on a real farm.\n"
    ]
    for rule in rules:
        told = rule["annotations"]
        after = f", after {rule['for']}" if "for" in rule else ""
        out.append(f"## {rule['alert']}\n\n*{rule['labels']['severity']}{after}.* {told['description']}\n")
        out.append(f"**What to do.** {told['runbook']}\n\n```promql\n{rule['expr']}\n```\n")
    return "\n".join(out)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in lines)


def _cell(text: str) -> str:
    return inspect.cleandoc(text).replace("\n", " ").replace("|", "\\|")


PAGES = {
    "settings.md": settings,
    "commands.md": commands,
    "http.md": http,
    "errors.md": errors,
    "metrics.md": metrics,
    "alerts.md": alerts,
}


def written() -> dict[str, str]:
    """Each page by its file's name."""
    return {name: NOTE + make().rstrip() + "\n" for name, make in PAGES.items()}


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, text in written().items():
        (folder / name).write_text(text, "utf8")
