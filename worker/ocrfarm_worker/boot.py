"""`ocrfarm worker`: the checks of a node's start, then the pool."""

from __future__ import annotations

import logging
import time
from typing import Annotated

import typer

log = logging.getLogger(__name__)


Processes = Annotated[
    int | None, typer.Option("--processes", "-p", help="Worker processes; 0 or left out: one a core.", min=0)
]
Preload = Annotated[str | None, typer.Option(help="Profiles to load at the start, comma separated.")]


def register(app: typer.Typer) -> None:
    """Add this room's `worker` commands."""
    group = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
    group.callback(help="Run a pool of worker processes that read pages.")(worker)
    group.command("join")(join)
    app.add_typer(group, name="worker")


def worker(context: typer.Context, processes: Processes = None, preload: Preload = None) -> None:
    """Run a pool of worker processes on this node until it is told to stop (SIGTERM)."""
    if context.invoked_subcommand:
        return
    from ocrfarm_shared.settings import SettingsError, prepare_worker_environment, settings

    try:
        prepare_worker_environment(workers=processes, preload=preload)
        conf = settings()
        conf.broker_url  # noqa: B018 - raises where no Redis is named
    except SettingsError as err:
        raise typer.BadParameter(str(err)) from None

    from ocrfarm_shared.errors import OcrFarmError
    from ocrfarm_shared.profiles import profiles
    from ocrfarm_shared.telemetry import start_logging

    start_logging(conf.log_level, conf.log_format)
    check_clock(conf.max_clock_skew_s)

    from ocrfarm_worker.capability import capability, preloaded

    try:
        reads = capability(conf).reads
        preloaded(conf, list(reads))
    except (OcrFarmError, SettingsError) as err:
        typer.echo(f"ocrfarm worker: {err}", err=True)
        raise typer.Exit(3) from None

    from ocrfarm_worker.app import build_app

    left_out = [name for name in profiles() if name not in reads]
    log.info("worker starts with %d processes; it reads %s", conf.worker_count, ", ".join(reads))
    if left_out and not conf.profiles:
        log.warning(
            "no page of %s comes to this node: a model of it is not here (`ocrfarm models build`)", ", ".join(left_out)
        )
    build_app().worker_main(
        [
            "worker",
            "--loglevel",
            conf.log_level,
            "-n",
            f"ocrfarm@{conf.node or '%h'}",
            "--without-gossip",
            "--without-mingle",
        ]
        + ([] if conf.flower else ["--without-heartbeat"])
    )


def join(
    url: Annotated[
        str | None, typer.Argument(help="The farm's address. [default: OCRFARM_JOIN_URL, or as last time]")
    ] = None,
    token: Annotated[
        str | None,
        typer.Argument(help="A node token, of `ocrfarm node token`. [default: OCRFARM_NODE_TOKEN, or as last time]"),
    ] = None,
    processes: Processes = None,
    preload: Preload = None,
) -> None:
    """Join a farm on another machine and read pages for it, until told to stop (SIGTERM, Ctrl-C).

    Documents come over HTTP and are kept in a cache on this node's disk; what the farm tells is kept in the state folder. A farm that is
    away is asked again until it answers. In place of the arguments, which others on this machine can see, set OCRFARM_JOIN_URL and
    OCRFARM_NODE_TOKEN.
    """
    from ocrfarm_shared.settings import SettingsError, read_settings
    from ocrfarm_shared.telemetry import start_logging
    from ocrfarm_worker.joined import agent
    from ocrfarm_worker.joined.link import Refused

    try:
        conf = read_settings(workers=processes, preload=preload)
        start_logging(conf.log_level, conf.log_format)
        agent.run(conf, url or conf.join_url, token or conf.node_token)
    except (SettingsError, Refused) as err:
        typer.echo(f"ocrfarm worker join: {err}", err=True)
        raise typer.Exit(agent.EXIT_REFUSED if isinstance(err, Refused) else 2) from None


def check_clock(limit_s: float) -> None:
    """Leave with exit 4 where this node's clock is off Redis' by more than that: leases and deadlines would lie.

    A Raspberry Pi has no clock chip, and starts in the past until it has asked the network. Waits for Redis if it is not up yet.
    """
    from redis.exceptions import RedisError

    from ocrfarm_shared.ledger import Ledger
    from ocrfarm_shared.settings import settings

    ledger = Ledger.open(settings())
    while True:
        try:
            before = time.time()
            seconds, micros = ledger.redis.time()
            after = time.time()
            break
        except RedisError as err:
            log.warning("Redis does not answer yet (%s); trying again", err)
            time.sleep(1)
    ledger.close()
    skew = (before + after) / 2 - (seconds + micros / 1e6)
    if abs(skew) > limit_s:
        typer.echo(
            f"ocrfarm worker: this node's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the farm's; "
            "set it (for instance `timedatectl set-ntp true`) and start again.",
            err=True,
        )
        raise typer.Exit(4)
