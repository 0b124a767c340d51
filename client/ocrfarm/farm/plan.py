"""Which programs make the farm on this machine, on which ports, with which settings."""

from __future__ import annotations

import importlib.util
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ocrfarm.farm import CannotStart
from ocrfarm.farm.children import Program
from ocrfarm.farm.embedded_redis import EmbeddedRedis, find_server
from ocrfarm.farm.ports import LOOPBACK, claim, listen, port_of
from ocrfarm_shared.addresses import is_loopback
from ocrfarm_shared.redis_users import Role
from ocrfarm_shared.settings import WORKER_START, Settings, read_settings

# Workers first: they hand back what they hold while the rest still answers. Redis last: everybody writes to it.
STOP_ORDER = ("worker", "dispatcher", "api", "flower", "redis")
_DOORS = ("--fd", "--compat-fd")
WORKER_GRACE_S = 40.0  # Celery's soft shutdown is 20 s, and a page may take as long again
GRACE_S = 30.0  # the gateway lets uploads end for 20 s


@dataclass(frozen=True)
class Plan:
    """`settings` are what every child reads, with the gateway's Redis user; `redis` is None where the farm has a Redis of its own."""

    settings: Settings
    redis: EmbeddedRedis | None
    programs: list[Program]

    @property
    def stop_order(self) -> list[str]:
        """The programs' names; gateways beside each other go one after the other."""
        return sorted((p.name for p in self.programs), key=lambda name: STOP_ORDER.index(name.partition("-")[0]))

    @property
    def page(self) -> str:
        return self.settings.farm_url

    @property
    def flower(self) -> str | None:
        host = LOOPBACK if is_loopback(self.settings.flower_host) else self.settings.flower_host
        return f"http://{host}:{self.settings.flower_port}" if self.settings.flower else None


def absolute(settings: Settings) -> Settings:
    """The children's working folder is theirs; the state folder is one."""
    folders = {"state": settings.state.expanduser().resolve()}
    if settings.model_folder:
        folders["model_folder"] = settings.model_folder.expanduser().resolve()
    return settings.model_copy(update=folders)


def make(settings: Settings) -> Plan:
    """Claim the ports, write Redis' files, list the programs; starts nothing. Raises CannotStart.

    The state folder must be held (supervisor.hold_state), and absolute.
    """
    shows = settings.flower and importlib.util.find_spec("flower") is not None
    if shows:
        _check_login(settings)
    door = listen(settings.host, settings.port, "the gateway", "OCRFARM_PORT")
    doors = [door]
    if settings.compat_port:
        doors.append(listen(settings.host, settings.compat_port, "the second door", "OCRFARM_COMPAT_PORT"))
    # No url: it is this farm's own, not that of another which the command line is told to ask.
    update: dict[str, object] = {"port": port_of(door), "url": None}
    if not shows:
        update["flower"] = False
    else:
        update["flower_port"] = claim(settings.flower_host, settings.flower_port, "Flower", "OCRFARM_FLOWER_PORT")
    redis = None
    if not settings.redis_url:
        port = claim(LOOPBACK, settings.redis_port, "Redis", "OCRFARM_REDIS_PORT")
        redis = EmbeddedRedis.prepare(
            find_server(),
            settings.state / "redis",
            port,
            settings.redis_maxmemory_mb,
            settings.namespace,
            settings.redis_fsync,
            settings.redis_host,
        )
        update |= {"redis_port": port, "redis_url": redis.url}
        update |= {"redis_user": "gateway", "redis_password": redis.passwords["gateway"]}
        update |= {"node_redis_url": redis.node_url}
    settings = read_settings({}, **(settings.model_dump() | update))
    return Plan(settings, redis, list(_programs(settings, redis, doors)))


def _programs(settings: Settings, redis: EmbeddedRedis | None, doors: Sequence[socket.socket]) -> Iterator[Program]:
    def env(role: Role | None) -> dict[str, str]:
        """Each part gets the password of its own Redis user and of no other; with one's own Redis all parts are its one user."""
        # The command line's key is no part's; Flower's login goes to it under its own name (`_flower_login`).
        own: dict[str, object] = {"api_key": None, "flower_user": None, "flower_password": None}
        own |= {"join_url": None, "node_token": None}  # this is the farm, no node of another
        if role != "gateway":
            own["node_redis_url"] = None  # it hands the password to nodes that join
        if redis:
            own |= {"redis_user": role, "redis_password": redis.passwords[role] if role else None}
        return settings.model_copy(update=own).child_environment() | {"PYTHONUNBUFFERED": "1"}

    def ours(*arguments: str) -> list[str]:
        # -P: a file of the same name as a library, in the folder where `ocrfarm up` was typed, is not imported.
        # --debug: a log wants the whole traceback.
        return [sys.executable, "-P", "-m", "ocrfarm", "--debug", *arguments]

    if redis:
        yield Program("redis", redis.argv, env(None), grace_s=GRACE_S)  # SIGTERM is its SHUTDOWN: the file is flushed
    counting = _counting(settings)
    for name in gateways(settings):
        argv = ours("api", *(f"{option}={door.fileno()}" for option, door in zip(_DOORS, doors, strict=False)))
        yield Program(name, argv, env("gateway") | counting, grace_s=GRACE_S, sockets=doors)
    yield Program("dispatcher", ours("dispatcher"), env("dispatcher"), grace_s=GRACE_S)
    build = ours("models", "build")
    yield Program("worker", ours("worker"), WORKER_START | env("worker"), prepare=build, grace_s=WORKER_GRACE_S)
    if settings.flower:
        yield Program("flower", _flower(settings), env("flower") | _flower_login(settings), grace_s=GRACE_S)


def gateways(settings: Settings) -> list[str]:
    """Their names: `api`, `api-2`, ... All accept from one listening socket, which the supervisor keeps open."""
    return ["api", *(f"api-{number}" for number in range(2, settings.gateways + 1))]


def _counting(settings: Settings) -> dict[str, str]:
    """Gateways beside each other count their requests in files of one folder, so that a scrape of any of them tells all of them.

    prometheus_client reads the variable (its "multiprocess mode"). What an earlier farm counted is removed: counters begin at zero.
    """
    if settings.gateways == 1:
        return {}
    folder = settings.state / "counters"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.db"):
        old.unlink()
    return {"PROMETHEUS_MULTIPROC_DIR": str(folder)}


def _flower(settings: Settings) -> list[str]:
    return [
        *(sys.executable, "-P", "-m", "celery", "-A", "ocrfarm.farm.flower_app", "flower"),
        f"--address={settings.flower_host}",
        f"--port={settings.flower_port}",
        "--read_only=True",  # it shows; it does not stop workers
        "--tasks_columns=name,args,kwargs,state,received,runtime,worker",  # whose page it is, before Celery's own id
    ]


def _check_login(settings: Settings) -> None:
    """Raises CannotStart where whoever reaches Flower's port could look at it, or half of a login is given."""
    if bool(settings.flower_user) != bool(settings.flower_password):
        raise CannotStart(
            "Flower's login is a user and a password: set OCRFARM_FLOWER_USER and OCRFARM_FLOWER_PASSWORD."
        )
    if not is_loopback(settings.flower_host) and not settings.flower_user:
        raise CannotStart(
            f"Flower would listen on {settings.flower_host} without a login; set OCRFARM_FLOWER_USER and OCRFARM_FLOWER_PASSWORD, or "
            "leave out OCRFARM_FLOWER_HOST."
        )


def _flower_login(settings: Settings) -> dict[str, str]:
    """As Flower reads it from its environment: an argument list could be read by everybody on the machine."""
    if not settings.flower_user:
        return {}
    return {"FLOWER_BASIC_AUTH": f"{settings.flower_user}:{settings.flower_password}"}
