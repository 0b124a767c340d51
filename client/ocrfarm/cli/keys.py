"""`ocrfarm keys`: only the commands' options stand here; what they do is imported when one is run."""

from __future__ import annotations

from typing import Annotated

import typer

EPILOG = (
    "On the farm's machine these need no key: they go to the farm's Redis (OCRFARM_REDIS_URL, or the one in the state folder, whether the "
    "farm runs or not). Elsewhere name the farm with --url and show a key of the role `admin` with --key or OCRFARM_API_KEY. "
    "A key is sent as `X-API-Key: …` or `Authorization: Bearer …`; the client and these commands take it from OCRFARM_API_KEY."
)
app = typer.Typer(
    name="keys",
    help="API keys: who may use the farm, as which tenant, and how much. Without any key, a farm that listens on 127.0.0.1 serves "
    "everybody on this machine, and one that listens elsewhere refuses to start; from the first key on, everybody needs one, until "
    "`ocrfarm keys open`.",
    no_args_is_help=True,
    epilog=EPILOG,
    rich_markup_mode=None,
)
Url = Annotated[str | None, typer.Option("--url", help="A farm elsewhere. [default: OCRFARM_URL, or the farm here]")]
Key = Annotated[
    str | None, typer.Option("--key", help="A key of the role `admin`. [default: OCRFARM_API_KEY]", show_default=False)
]


@app.command()
def create(
    tenant: Annotated[str, typer.Option(help="Whose jobs its holder sends and sees; no tenant sees another's.")],
    role: Annotated[
        list[str] | None,
        typer.Option(
            help="May be given more than once. submit: send, retry, cancel, delete. read: look at jobs, results, the farm. "
            "admin: make and revoke keys. node: a worker node. [default: submit, read]",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="A note: who holds it, what for.")] = "",
    expires: Annotated[str, typer.Option(help="Such as 90d, 12h, 30m. [default: never]")] = "",
    jobs_per_minute: Annotated[
        int, typer.Option(min=0, help="Submissions a minute. [default: the farm's]", show_default=False)
    ] = 0,
    mb_per_day: Annotated[
        float, typer.Option(min=0, help="Megabytes sent in 24 hours. [default: the farm's]", show_default=False)
    ] = 0,
    pages_per_day: Annotated[
        int, typer.Option(min=0, help="Pages read in 24 hours. [default: the farm's]", show_default=False)
    ] = 0,
    queued: Annotated[
        int, typer.Option(min=0, help="Jobs under way at once. [default: the farm's]", show_default=False)
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the key alone, for a script.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make a key and print it, this once: it is kept nowhere, only its hash is.

    ocrfarm keys create --tenant accounting --expires 90d --jobs-per-minute 600
    """
    from ocrfarm.cli.keys_work import Wish, make

    quota = {
        "jobs_per_minute": jobs_per_minute,
        "bytes_per_day": int(mb_per_day * 1e6),
        "pages_per_day": pages_per_day,
        "queued": queued,
    }
    make(Wish(tenant, tuple(role or ()), name, expires, quota), url, key, quiet=quiet)


@app.command("list")
def listing(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """The keys that there are, newest first, without their secrets."""
    from ocrfarm.cli.keys_work import show

    show(tenant, url, key)


@app.command("open")
def open_farm(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether that is meant.")] = False,
) -> None:
    """After all keys were revoked: ask for none any more.

    A farm that listens on 127.0.0.1 then serves every user and program of this machine, who may read and delete what is there, and make
    keys. On the farm's machine alone; the next key that is made closes the farm again.
    """
    from ocrfarm.cli.keys_work import open_farm as work

    work(sure=yes)


@app.command()
def revoke(
    keys: Annotated[list[str], typer.Argument(help="Ids, as `ocrfarm keys list` shows them, or the keys themselves.")],
    url: Url = None,
    key: Key = None,
) -> None:
    """Revoke keys, at once. The tenant's jobs stay, for its other keys."""
    from ocrfarm.cli.keys_work import revoke as work

    raise typer.Exit(work(keys, url, key))
