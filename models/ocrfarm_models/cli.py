"""`ocrfarm models`: what there is, making what has a recipe, adding and removing one's own. And `ocrfarm train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

models = typer.Typer(help="The models that this node reads with.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.add_typer(models, name="models")
    app.command("train")(train)


@models.command("list")
def list_models() -> None:
    """Every model of the registry: what it is for, its version, who uses it, its figures, whether it can be opened here."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from ocrfarm_models import registry
    from ocrfarm_models.build import is_built
    from ocrfarm_shared.errors import ModelUnavailable
    from ocrfarm_shared.profiles import profiles

    try:
        registry.rows()
    except ModelUnavailable as err:
        raise _refuse(err) from None
    console = Console()
    for entry in registry.rows().values():
        users = ", ".join(p.name for p in profiles().values() if entry.id in p.models)
        ready = "ready" if is_built(entry.id) else f"not ready: ocrfarm models build {entry.id}"
        console.print(Text(entry.id, style="bold"), Text(f"({entry.kind}, {ready})"))
        console.print(Padding(Text(entry.title), (0, 0, 0, 4)))
        console.print(Padding(Text(f"{entry.version}  {entry.licence}", style="dim"), (0, 0, 0, 4)))
        if users:
            console.print(Padding(Text(f"profiles: {users}"), (0, 0, 0, 4)))
        if entry.figures:
            told = ", ".join(f"{name} {value:g}" for name, value in entry.figures.items())
            console.print(Padding(Text(f"figures: {told}"), (0, 0, 0, 4)))


@models.command()
def build(
    names: Annotated[list[str] | None, typer.Argument(help="Models; left out: those of every profile.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Make them again.")] = False,
) -> None:
    """Make the models that have a recipe (INT8, reduced output) into the state folder, once."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from ocrfarm_models import build as building
    from ocrfarm_shared.errors import ModelUnavailable
    from ocrfarm_shared.profiles import profiles

    wanted = names or list(dict.fromkeys(m for p in profiles().values() for m in p.models))
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("looking", total=None)

            def tell(what: str) -> None:
                progress.update(task, description=what, total=None)
                if not console.is_terminal:
                    typer.echo(what, err=True)

            made = building.build(
                wanted, force=force, tell=tell, advance=lambda share: progress.update(task, completed=share, total=1.0)
            )
    except ModelUnavailable as err:
        raise _refuse(err) from None
    typer.echo(f"made: {', '.join(made)}" if made else "all there already")


@models.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Models; left out: all of the registry.")] = None,
) -> None:
    """Check that every model's file is there and is the one that the registry (or its build) names. Exit 1 if one is not."""
    from ocrfarm_models import registry
    from ocrfarm_shared.errors import ModelUnavailable

    wrong = 0
    for name in names or registry.rows():
        try:
            spec = registry.resolve(name)
        except ModelUnavailable as err:
            wrong += 1
            typer.echo(f"{name}: {err}", err=True)
        else:
            typer.echo(f"{name}: {spec.version}, sha-256 {spec.sha256[:16]}")
    raise typer.Exit(1 if wrong else 0)


@models.command()
def path(name: Annotated[str, typer.Argument(help="A model's id.")]) -> None:
    """Print where a model's file is."""
    from ocrfarm_models import registry
    from ocrfarm_shared.errors import ModelUnavailable

    try:
        typer.echo(registry.resolve(name).path)
    except ModelUnavailable as err:
        raise _refuse(err) from None


@models.command()
def add(
    name: Annotated[str, typer.Argument(help="What it is to be called; a profile gets the same name.")],
    onnx: Annotated[Path, typer.Option(help="The recogniser, one ONNX file.")],
    charset: Annotated[Path, typer.Option(help="Its characters in class order, one a line, without the blank.")],
    spec: Annotated[Path, typer.Option(help="TOML: how a line becomes its input, and what its output means.")],
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of the model of that name.")] = False,
) -> None:
    """Serve a CTC recogniser of your own: check it, copy it into the state folder, make a profile of its name."""
    from ocrfarm_models import own
    from ocrfarm_models.offer import Unfit, read_charset, read_spec
    from ocrfarm_shared.errors import OcrFarmError

    try:
        found = own.add(name, onnx, read_charset(charset), read_spec(spec), replace_old=replace)
    except (Unfit, OcrFarmError) as err:
        raise _refuse(err) from None
    typer.echo(f"opset {found.opset}, {found.classes} classes, {found.columns} columns for a line drawn here")
    verdict = f"{found.read!r} (confidence {found.confidence:.2f}, {found.milliseconds:.0f} ms)"
    typer.echo(f"it says {found.said!r}; the model reads {verdict}")
    if found.read != found.said:
        typer.echo("That need not be wrong: the line is plain print. Try it on a picture of its own kind, as below.")
    typer.echo(
        f"{name} is added. Read with it: `ocrfarm read --profile {name} FILE`, or `ocrfarm submit --profile {name} FILE`."
    )
    typer.echo(_RESTART)


_RESTART = "A farm that runs now learns of this when it is started again, and so does each other node."


@models.command()
def remove(name: Annotated[str, typer.Argument(help="A model that was added.")]) -> None:
    """Take an added model and its profile away."""
    from ocrfarm_models import own
    from ocrfarm_models.offer import Unfit

    try:
        own.remove(name)
    except Unfit as err:
        raise _refuse(err) from None
    typer.echo(f"{name} is removed. {_RESTART}")


def train(
    data: Annotated[Path, typer.Option(help="Folder with pictures of lines and labels.tsv (file name, tab, text).")],
    name: Annotated[str, typer.Option(help="What the new model is to be called; a profile gets the same name.")],
    base: Annotated[str, typer.Option(help="The model to start from.")] = "crnn-en",
    minutes: Annotated[float, typer.Option(min=0.1, help="How long to train.")] = 20,
    hold_out: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=0.4,
            help="Share of the lines to judge by; as many again are kept to choose the best weights by.",
        ),
    ] = 0.1,
    only_these: Annotated[
        bool, typer.Option("--only-these", help="Read no characters but those of the labels.")
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out lines that cannot be trained on.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Processor cores to use.")] = 1,
    layout: Annotated[str, typer.Option(help="labels, mjsynth, or names (the file name is the text).")] = "labels",
    even_if_worse: Annotated[
        bool, typer.Option("--even-if-worse", help="Register it although it reads worse than its base.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of the model of that name.")] = False,
) -> None:
    """Teach a recogniser your own lines, and register what comes of it as a model and a profile."""
    from importlib.util import find_spec

    missing = [library for library in ("torch", "tensorboard", "tqdm") if find_spec(library) is None]
    if missing:
        typer.echo(
            f"ocrfarm train: training needs {' and '.join(missing)}: `pip install 'ocrfarm[train]'` "
            "(about 1 GB; in a checkout `uv sync --extra farm --extra train`).",
            err=True,
        )
        raise typer.Exit(2)
    from ocrfarm_models.offer import Unfit
    from ocrfarm_models.training import finetune
    from ocrfarm_models.training.folders import LabelError
    from ocrfarm_shared.errors import OcrFarmError

    lesson = finetune.Lesson(
        data=data, name=name, base=base, minutes=minutes, hold_out=hold_out, only_these=only_these, skip_bad=skip_bad,
        threads=threads, layout=layout, even_if_worse=even_if_worse, replace=replace,
    )  # fmt: skip
    try:
        told = finetune.teach(lesson, tell=lambda said: typer.echo(said, err=True))
    except (Unfit, LabelError, OcrFarmError) as err:
        typer.echo(f"ocrfarm train: {err}", err=True)
        raise typer.Exit(1) from None
    typer.echo(told)
    typer.echo(_RESTART)


def _refuse(err: Exception) -> typer.Exit:
    typer.echo(f"ocrfarm models: {err}", err=True)
    return typer.Exit(1)
