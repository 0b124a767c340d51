"""The `ocrfarm` command. Each room adds its own commands by the entry points of the group `ocrfarm.commands`.

An entry point names `register(app: typer.Typer) -> None`. Its module must import quickly: what a command needs is imported when the
command runs, so that `ocrfarm --help` answers at once. A room whose libraries are not installed is left out of the help, and its commands
say what to install.

Exit codes: 0 all went well, 1 something failed, 2 the command or a setting is wrong.
"""

from __future__ import annotations

import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

GROUP = "ocrfarm.commands"
# What a room's commands cannot run without. Their modules import next to nothing, so that importing them would not tell.
NEEDS = {
    "ocrfarm.cli.farm": ("fastapi", "celery", "onnxruntime"),
    "ocrfarm_api.cli": ("fastapi", "redis"),
    "ocrfarm_worker.boot": ("celery", "cv2", "onnxruntime"),
    "ocrfarm_worker.cli": ("cv2", "onnxruntime"),
    "ocrfarm_models.cli": ("onnxruntime",),
}

# Commands of rooms that may be missing, by the extra that brings them.
EXTRAS = {
    "up": "farm",
    "api": "api",
    "dispatcher": "api",
    "worker": "worker",
    "read": "worker",
    "models": "worker",
    "train": "train",
    "bench": "worker",
}


def build() -> typer.Typer:
    """The command with those of every room that is installed."""
    app = typer.Typer(
        name="ocrfarm",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # drawing the help with rich takes longer than all the rest of it
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def ocrfarm(
        debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
        ] = False,
    ) -> None:
        """An asynchronous, queue-based OCR worker farm. `ocrfarm up` starts one on this machine."""

    for entry in distribution("ocrfarm").entry_points.select(group=GROUP):
        if all(installed(library) for library in NEEDS.get(entry.module, ())):
            entry.load()(app)
    there = names(app)
    for name, extra in EXTRAS.items():
        if name not in there:
            _stand_in(app, name, extra)
    return app


def names(app: typer.Typer) -> set[str]:
    """Its commands, and its groups of commands."""
    commands = {each.name or getattr(each.callback, "__name__", "") for each in app.registered_commands}
    groups = [(each, each.typer_instance) for each in app.registered_groups]
    # Named where it is added, or else where it is made; what was left out is no text, but a mark of typer's.
    return commands | {
        str(inner.info.name if inner and not isinstance(each.name, str) else each.name) for each, inner in groups
    }


def _stand_in(app: typer.Typer, name: str, extra: str) -> None:
    """A command that is not installed here: it takes whatever it is given, and says what brings it."""

    @app.command(name, hidden=True, add_help_option=False, context_settings={"ignore_unknown_options": True})
    def missing(words: Annotated[list[str] | None, typer.Argument()] = None) -> None:  # noqa: ARG001
        typer.echo(
            f"ocrfarm: `ocrfarm {name}` is not installed here; `pip install 'ocrfarm[{extra}]'` brings it.", err=True
        )
        raise typer.Exit(2)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(distribution("ocrfarm").version)
        raise typer.Exit


def installed(library: str) -> bool:
    """Whether it can be imported; it is looked for, not imported."""
    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):
        return False


def main() -> None:
    debug = "--debug" in sys.argv[1:]
    try:
        build()()
    except KeyboardInterrupt:  # before a command runs; Click takes the others
        sys.exit(130)
    except Exception as err:
        if debug:
            raise
        code, sentence = explain(err)
        print(f"ocrfarm: {sentence}", file=sys.stderr)
        sys.exit(code)


def explain(err: Exception) -> tuple[int, str]:
    """Exit code and one sentence for an error that ended a command."""
    from ocrfarm_shared.errors import OcrFarmError
    from ocrfarm_shared.settings import SettingsError

    if isinstance(err, SettingsError):
        return 2, str(err)
    if isinstance(err, OcrFarmError | TimeoutError):
        return 1, str(err)
    if isinstance(err, OSError):
        return 1, f"{err.strerror or err}{f': {err.filename}' if err.filename else ''}{_setting(err.filename)}"
    if isinstance(err, ModuleNotFoundError):
        return 2, f"{err.name} is not installed; this command needs `pip install 'ocrfarm[farm]'`."
    return 1, f"unexpected {type(err).__name__}: {err}; `ocrfarm --debug …` shows where it came from"


def _setting(filename: object) -> str:
    """What to change where the file that could not be had lies in a folder that a setting names."""
    from ocrfarm_shared.settings import settings

    if not isinstance(filename, str | Path):
        return ""
    found = settings()
    folders = {"OCRFARM_MODEL_FOLDER": found.model_folder, "OCRFARM_STATE": found.state}
    for name, folder in folders.items():
        if folder is None:
            continue
        wanted, path = folder.expanduser().absolute(), Path(filename).absolute()
        if path == wanted or path in wanted.parents or wanted in path.parents:
            return f"; {name} is {folder}: name a folder there that can be written to"
    return ""
