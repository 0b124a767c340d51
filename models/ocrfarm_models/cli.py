"""`ocrfarm models`: what there is, and making what has a recipe."""

from __future__ import annotations

from typing import Annotated

import typer

models = typer.Typer(help="The models that this node reads with.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.add_typer(models, name="models")


@models.command("list")
def list_models() -> None:
    """Every model of the registry: what it is for, its version, whether it can be opened on this node."""
    from rich.console import Console
    from rich.table import Table

    from ocrfarm_models import registry
    from ocrfarm_models.build import is_built
    from ocrfarm_shared.profiles import profiles

    table = Table("model", "kind", "version", "licence", "profiles", "ready")
    table.columns[0].overflow = table.columns[2].overflow = "fold"
    for entry in registry.rows().values():
        users = ", ".join(p.name for p in profiles().values() if entry.id in p.models)
        table.add_row(entry.id, entry.kind, entry.version, entry.licence, users, "yes" if is_built(entry.id) else "no")
    Console().print(table)


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


def _refuse(err: Exception) -> typer.Exit:
    typer.echo(f"ocrfarm models: {err}", err=True)
    return typer.Exit(1)
