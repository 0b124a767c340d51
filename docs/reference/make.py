"""Writes the reference from the code: `make reference`. tests/unit/test_reference.py says when it is old.

Settings from `Settings`, commands from the command line itself, HTTP from the gateway's own description, errors from their tree.
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

    from ocrfarm_shared.settings import PREFIX, Settings, takes

    rows = []
    for name, field in Settings.model_fields.items():
        said = int(field.default) if isinstance(field.default, bool) else field.default
        default = "" if said in (PydanticUndefined, None, "") else f"`{said}`"
        rows.append((f"`{PREFIX}{name.upper()}`", takes(name), default, field.description or ""))
    return "# Settings\n\nEach is a variable of the environment. Durations are seconds.\n\n" + table(
        ("setting", "takes", "default", "what it says"), rows
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
            yield from _commands(one, f"{name} {short}")
            continue
        yield f"## {name} {short}\n\n{one.help or ''}\n"
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


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in lines)


def _cell(text: str) -> str:
    return inspect.cleandoc(text).replace("\n", " ").replace("|", "\\|")


PAGES = {"settings.md": settings, "commands.md": commands, "http.md": http, "errors.md": errors}


def written() -> dict[str, str]:
    """Each page by its file's name."""
    return {name: NOTE + make().rstrip() + "\n" for name, make in PAGES.items()}


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, text in written().items():
        (folder / name).write_text(text, "utf8")
