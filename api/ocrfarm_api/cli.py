"""This room's commands: `ocrfarm api` and `ocrfarm dispatcher`. What is heavy is imported when they run, not for `ocrfarm --help`."""

from __future__ import annotations

import errno
import gc
import logging
import socket
import time
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from ocrfarm_shared.settings import Settings


log = logging.getLogger(__name__)
WAIT_FOR_KEY_S = 1.0


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.command("api", help="Run the gateway: the HTTP interface and the drop page.")(api)
    app.command("dispatcher", help="Run the dispatcher: takes back lost pages, expires results, removes old uploads.")(
        dispatcher
    )


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on; OCRFARM_HOST, else 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="OCRFARM_PORT, else 8000.", min=0, max=65535)] = None,
    fd: Annotated[int | None, typer.Option(help="A listening socket that this process was given.", min=0)] = None,
    compat_fd: Annotated[int | None, typer.Option(help="The same, for OCRFARM_COMPAT_PORT.", min=0)] = None,
    wait_for_key: Annotated[
        bool,
        typer.Option("--wait-for-key", help="Where a key is needed and there is none yet, wait for it, do not leave."),
    ] = False,
) -> None:
    """Run one gateway process until it is told to stop (SIGTERM, Ctrl-C)."""
    conf = _settings(host=host, port=port)

    from ocrfarm_shared.addresses import is_loopback
    from ocrfarm_shared.keys import NO_KEYS
    from ocrfarm_shared.telemetry import start_logging

    start_logging(conf.log_level, conf.log_format)
    if not is_loopback(conf.host) and not conf.open_to_all and _without_keys(conf):
        if not wait_for_key:
            _refuse(NO_KEYS.format(host=conf.host))
        _await_key(conf, NO_KEYS.format(host=conf.host))

    import uvicorn

    from ocrfarm_api.main import create_app
    from ocrfarm_api.serving import GRACE_S, Server
    from ocrfarm_api.wire import BoundedHead, allow_connections

    allow_connections()
    gateway = create_app(conf)
    listening = [socket.socket(fileno=fd) if fd is not None else _listen(conf, conf.port, "OCRFARM_PORT or --port")]
    if compat_fd is not None:
        listening.append(socket.socket(fileno=compat_fd))
    elif conf.compat_port and fd is None:
        listening.append(_listen(conf, conf.compat_port, "OCRFARM_COMPAT_PORT"))

    server = Server(
        uvicorn.Config(
            gateway,
            loop="uvloop",
            http=BoundedHead,
            ws="none",
            access_log=False,
            proxy_headers=False,  # nobody may name another address for himself
            server_header=False,
            log_config=None,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=GRACE_S,
        ),
        gateway.state.farm.events,
    )
    # What was imported lives as long as the process: the collector need not walk it, which takes tens of milliseconds each time.
    gc.collect()
    gc.freeze()
    server.run(sockets=listening)


def dispatcher() -> None:
    """Run one dispatcher until it is told to stop; any number may run, one of them leads."""
    conf = _settings()

    from ocrfarm_api.dispatcher import run
    from ocrfarm_shared.telemetry import start_logging

    start_logging(conf.log_level, conf.log_format)
    run(conf)


def _settings(host: str | None = None, port: int | None = None) -> Settings:
    from ocrfarm_shared.settings import SettingsError, read_settings

    try:
        conf = read_settings(host=host, port=port)
        conf.broker_url  # noqa: B018 - raises where no Redis is named
    except SettingsError as err:
        _refuse(str(err))
    return conf


def _without_keys(conf: Settings) -> bool:
    """Whether the ledger says that there is no key. Where it does not answer the gateway starts, and lets nobody in without one."""
    from redis.exceptions import RedisError

    from ocrfarm_shared.ledger import Ledger, key_calls

    ledger = Ledger.open(conf)
    try:
        return ledger(key_calls.no_key_holds())
    except RedisError:
        return False
    finally:
        ledger.close()


def _await_key(conf: Settings, sentence: str) -> None:
    """Until there is a key, or Redis is away (then nobody is let in without one)."""
    log.warning("%s This gateway waits for it.", sentence)
    while _without_keys(conf):
        time.sleep(WAIT_FOR_KEY_S)
    log.info("there is a key now; the gateway starts")


def _listen(conf: Settings, port: int, setting: str) -> socket.socket:
    """A listening socket; a port that is taken is a sentence, not a traceback."""
    try:
        family = socket.getaddrinfo(conf.host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((conf.host, port), family=family, backlog=2048)
    except OSError as err:
        if err.errno == errno.EADDRINUSE:
            _refuse(f"port {port} on {conf.host} is taken; name another with {setting}.")
        _refuse(f"cannot listen on {conf.host}:{port}: {err.strerror or err}.")


def _refuse(sentence: str) -> NoReturn:
    typer.echo(f"ocrfarm: {sentence}", err=True)
    raise typer.Exit(2)
