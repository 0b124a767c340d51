"""`ocrfarm worker`: the checks of a node's start, then the pool."""

from __future__ import annotations

import logging
import time
from typing import Annotated

import typer

log = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Add this room's `worker` command."""
    app.command("worker", help="Run a pool of worker processes that read pages.")(worker)


def worker(
    processes: Annotated[
        int | None, typer.Option("--processes", "-p", help="Worker processes; 0 or left out: one a core.", min=0)
    ] = None,
    preload: Annotated[str | None, typer.Option(help="Profiles to load at the start, comma separated.")] = None,
) -> None:
    """Run a pool of worker processes on this node until it is told to stop (SIGTERM)."""
    from ocrfarm_shared.settings import SettingsError, prepare_worker_environment, settings

    try:
        prepare_worker_environment(workers=processes, preload=preload)
        conf = settings()
        conf.broker_url  # noqa: B018 - raises where no Redis is named
    except SettingsError as err:
        raise typer.BadParameter(str(err)) from None

    from ocrfarm_shared.errors import OcrFarmError
    from ocrfarm_shared.profiles import default_profile, get_profile
    from ocrfarm_shared.telemetry import start_logging

    start_logging(conf.log_level, conf.log_format)
    check_clock(conf.max_clock_skew_s)

    from ocrfarm_models import registry

    try:
        for name in [n.strip() for n in conf.preload.split(",") if n.strip()] or [default_profile()]:
            for model_id in get_profile(name).models:
                registry.resolve(model_id)
    except OcrFarmError as err:
        typer.echo(f"ocrfarm worker: {err}", err=True)
        raise typer.Exit(3) from None

    from ocrfarm_worker.app import build_app

    log.info("worker starts with %d processes", conf.worker_count)
    build_app().worker_main(
        ["worker", "--loglevel", conf.log_level, "-n", "ocrfarm@%h", "--without-gossip", "--without-mingle"]
        + ([] if conf.flower else ["--without-heartbeat"])
    )


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
