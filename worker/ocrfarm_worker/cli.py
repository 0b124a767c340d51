"""`ocrfarm read`: documents read in this process, with no Redis and no farm. And this room's other commands."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrfarm_worker import boot

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ocrfarm_models.engines import Engines
    from ocrfarm_shared.contracts import Document, OcrOptions
    from ocrfarm_worker.decoding.parent import Decoder


class Format(StrEnum):
    """`txt`: the text alone; `json`: one result a line, polygons and confidences included; `pdf`: the document with its text in it; else
    what programs exchange."""

    TXT = "txt"
    JSON = "json"
    MD = "md"
    TSV = "tsv"
    HOCR = "hocr"
    ALTO = "alto"
    PDF = "pdf"


class LayoutChoice(StrEnum):
    """`contracts.Layout`, said again because the command must start without the contracts."""

    AUTO = "auto"
    PAGE = "page"
    LINE = "line"


def register(app: typer.Typer) -> None:
    """Add this room's commands: `read`, `bench` and `worker`."""
    app.command("read", help="Read documents in this process, without a farm.")(read)
    bench = typer.Typer(name="bench", help="Measure this machine.", no_args_is_help=True, rich_markup_mode=None)
    bench.callback()(lambda: None)
    bench.command("node")(bench_node)
    app.add_typer(bench)
    boot.register(app)


def read(
    files: Annotated[list[Path], typer.Argument(help="PNG, JPEG, WebP, BMP, GIF, TIFF or PDF files.")],
    profile: Annotated[str | None, typer.Option(help="A choice of models; left out: the default one.")] = None,
    layout: Annotated[LayoutChoice, typer.Option(help="line: the image is one line or word.")] = LayoutChoice.AUTO,
    format_: Annotated[Format, typer.Option("--format", help="What is printed.")] = Format.TXT,
    pages: Annotated[str | None, typer.Option(help="Pages of a document, from 1: 3, 1-4,9 or 5-.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the results, as NAME.FORMAT. [default: they are printed]"),
    ] = None,
) -> None:
    """Read the files one after another and print what they say. Exit code 1 where one could not be read."""
    if format_ is Format.PDF and out is None and (len(files) > 1 or sys.stdout.isatty()):
        raise typer.BadParameter("one PDF can be printed into a file or a pipe; for more, name a folder with --out.")
    from pydantic import ValidationError
    from rich.console import Console
    from rich.progress import Progress

    from ocrfarm_shared.contracts import Layout, OcrOptions
    from ocrfarm_shared.errors import OcrFarmError, no_file
    from ocrfarm_shared.profiles import default_profile
    from ocrfarm_shared.settings import settings
    from ocrfarm_worker.decoding.parent import Caps, Decoder

    try:
        options = OcrOptions(profile=profile or default_profile(), layout=Layout(layout.value), pages=pages)
    except ValidationError as err:
        first = err.errors()[0]
        raise typer.BadParameter(f"{first['loc'][0]}: {first['msg']}") from None
    options = options.model_copy(update={"options": options.options.model_copy(update={"dpi": settings().dpi})})

    failed = False
    decoder = Decoder(Caps.of(settings()))
    decoder.start()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress, decoder:
        engines = _engines(options.profile, progress)
        for file in files:
            task = progress.add_task(file.name, total=None)
            try:
                document = read_file(file, options, engines, decoder, progress, task)
                _show(file, document, format_, out, options, named=len(files) > 1)
            except OcrFarmError as err:
                failed = True
                print(f"{file}: {err}", file=sys.stderr)
            except FileNotFoundError:
                failed = True
                print(f"{file}: {no_file(file)}", file=sys.stderr)
            except OSError as err:
                failed = True
                print(f"{file}: {err.strerror or err}", file=sys.stderr)
            progress.remove_task(task)
    if failed:
        raise typer.Exit(1)


def bench_node(
    profiles: Annotated[
        str, typer.Option(help="Comma separated; left out: the default one and `fast`, the smallest.")
    ] = "",
    seconds: Annotated[float, typer.Option(min=1, help="Of each measurement.")] = 30.0,
    processes: Annotated[
        int, typer.Option("--processes", "-p", min=0, help="The most at once; 0: as many as a worker here would run.")
    ] = 0,
) -> None:
    """How quickly this machine reads, what memory that takes, how hot it gets: a table in Markdown, one row a measurement.

    Stop the node's worker first (`systemctl stop ocrfarm-node`), or both are measured.
    """
    from ocrfarm_models.build import build
    from ocrfarm_shared.errors import OcrFarmError
    from ocrfarm_shared.profiles import default_profile, get_profile
    from ocrfarm_shared.settings import settings
    from ocrfarm_worker import node_bench

    most = processes or settings().worker_count
    names = [name.strip() for name in profiles.split(",") if name.strip()] or [default_profile(), "fast"]
    try:
        for name in names:
            build(list(get_profile(name).models), tell=lambda what: typer.echo(what, err=True))
    except OcrFarmError as err:
        typer.echo(f"ocrfarm bench node: {err}", err=True)
        raise typer.Exit(3) from None
    if not node_bench.has_pictures():
        typer.echo(
            "ocrfarm bench node: the page to read is not here (images leave it out); install ocrfarm[worker]", err=True
        )
        raise typer.Exit(3)
    for what, told in node_bench.machine():
        typer.echo(f"{what}: {told}")
    rows = []
    for name in names:
        for count in sorted({1, most}):
            typer.echo(f"{name}, {count} at once, {seconds:g} s", err=True)
            rows.append(node_bench.measure(name, count, seconds))
    typer.echo(f"\n{node_bench.as_markdown(rows)}")


def read_file(
    file: Path, options: OcrOptions, engines: Engines, decoder: Decoder, progress: Progress, task: TaskID
) -> Document:
    """One document, all its pages (or those that `options.pages` names). Raises DocumentError, OSError."""
    from ocrfarm_shared.contracts import Document
    from ocrfarm_shared.settings import settings
    from ocrfarm_worker.document import Limits
    from ocrfarm_worker.pipeline import Stopwatch, read_page

    limits = Limits.of(settings())
    planned = decoder.plan(file, None, limits, options.pages)
    progress.update(task, total=len(planned.numbers))
    done = []
    for number in planned.numbers:
        watch = Stopwatch()
        with watch.stage("load"):
            loaded = decoder.page(file, None, number, options.options.dpi, limits)
        done.append(read_page(loaded, number, options, engines, watch))
        progress.advance(task)
    return Document.of(done, planned.page_count)


def _engines(name: str, progress: Progress) -> Engines:
    """The profile's engines; models that this machine has not built yet are built first."""
    import cv2

    from ocrfarm_models.build import build
    from ocrfarm_models.engines import Engines
    from ocrfarm_shared.profiles import get_profile
    from ocrfarm_shared.settings import settings

    chosen = get_profile(name)
    task = progress.add_task("opening the models", total=None)

    def tell(what: str) -> None:
        """Making models takes up to a minute, and nobody asked for it by name."""
        progress.update(task, description=what, total=None)
        where = f"(once on this machine, kept in {settings().models_folder})"
        progress.console.print(f"ocrfarm read: {what} {where}", markup=False, highlight=False, soft_wrap=True)

    build(list(chosen.models), tell=tell, advance=lambda share: progress.update(task, completed=share, total=1.0))
    cv2.setNumThreads(1)
    engines = Engines.load(chosen, threads=settings().worker_count)
    progress.remove_task(task)
    return engines


def _show(
    file: Path, document: Document, format_: Format, out: Path | None, options: OcrOptions, *, named: bool
) -> None:
    """Printed, or written to the folder `out`: whole or not at all. Raises DocumentError, OSError."""
    if format_ is Format.PDF:
        from ocrfarm_shared.settings import settings
        from ocrfarm_worker.decoding.parent import Caps
        from ocrfarm_worker.document import Limits
        from ocrfarm_worker.export.bound import bound

        conf = settings()
        body = bytes(bound(file, None, document.pages, options.options.dpi, Limits.of(conf), Caps.of(conf)))
    elif format_ is Format.JSON:
        import json

        body = json.dumps({"file": str(file), **document.model_dump(mode="json")}, ensure_ascii=False).encode() + b"\n"
    elif format_ is Format.TXT:
        head = f"--- {file}\n" if named and out is None else ""
        body = f"{head}{document.text}\n".encode("utf8", "replace")
    else:
        from ocrfarm_shared.formats import TEXT_FORMATS

        body = "".join(TEXT_FORMATS[format_].write(document.pages, file.name)).encode("utf8", "replace") + b"\n"
    if out is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    out.mkdir(parents=True, exist_ok=True)
    partial = out / f".{file.name}.{format_}.part"
    partial.write_bytes(body)
    partial.replace(out / f"{file.name}.{format_}")
