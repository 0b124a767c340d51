"""Which programs make the farm on this machine, on which ports, with which settings."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass

from ocrfarm.farm.children import Program
from ocrfarm.farm.embedded_redis import EmbeddedRedis, find_server
from ocrfarm.farm.ports import claim
from ocrfarm_shared.settings import Settings, read_settings

LOOPBACK = "127.0.0.1"
# Workers first: they hand back what they hold while the rest still answers. Redis last: everybody writes to it.
STOP_ORDER = ("worker", "dispatcher", "api", "flower", "redis")
WORKER_GRACE_S = 40.0  # Celery's soft shutdown is 20 s, and a page may take as long again
GRACE_S = 10.0


@dataclass(frozen=True)
class Plan:
    """`settings` are what every child reads; `redis` is None where the farm has a Redis of its own."""

    settings: Settings
    redis: EmbeddedRedis | None
    programs: list[Program]

    @property
    def page(self) -> str:
        return self.settings.farm_url

    @property
    def flower(self) -> str | None:
        return f"http://{LOOPBACK}:{self.settings.flower_port}" if self.settings.flower else None


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
    settings = settings.model_copy(update={"url": None})  # of the farm that is started here, not of another
    update: dict[str, object] = {"port": claim(settings.host, settings.port, "the gateway", "OCRFARM_PORT")}
    if settings.flower and importlib.util.find_spec("flower") is None:
        settings = settings.model_copy(update={"flower": False})
    if settings.flower:
        update["flower_port"] = claim(LOOPBACK, settings.flower_port, "Flower", "OCRFARM_FLOWER_PORT")
    redis = None
    if not settings.redis_url:
        port = claim(LOOPBACK, settings.redis_port, "Redis", "OCRFARM_REDIS_PORT")
        redis = EmbeddedRedis.prepare(find_server(), settings.state / "redis", port, settings.redis_maxmemory_mb)
        update |= {"redis_port": port, "redis_url": redis.url, "redis_password": redis.password}
    settings = read_settings({}, **(settings.model_dump() | update))
    return Plan(settings, redis, list(_programs(settings, redis)))


def _programs(settings: Settings, redis: EmbeddedRedis | None) -> list[Program]:
    env = settings.child_environment() | {"PYTHONUNBUFFERED": "1"}

    def ours(*arguments: str) -> list[str]:
        # -P: a file of the same name as a library, in the folder where `ocrfarm up` was typed, is not imported
        return [sys.executable, "-P", "-m", "ocrfarm", *arguments]

    programs = []
    if redis:
        programs.append(Program("redis", redis.argv, env, grace_s=30.0))  # SIGTERM is its SHUTDOWN: the file is flushed
    programs += [
        Program("api", ours("api"), env, grace_s=GRACE_S),
        Program("dispatcher", ours("dispatcher"), env, grace_s=GRACE_S),
        Program("worker", ours("worker"), env, prepare=ours("models", "build"), grace_s=WORKER_GRACE_S),
    ]
    if settings.flower:
        programs.append(Program("flower", _flower(settings), env, grace_s=GRACE_S))
    return programs


def _flower(settings: Settings) -> list[str]:
    return [
        *(sys.executable, "-P", "-m", "celery", "-A", "ocrfarm.farm.flower_app", "flower"),
        f"--address={LOOPBACK}",  # it has no passwords here, so it stays on this machine
        f"--port={settings.flower_port}",
        "--read_only=True",  # it shows; it does not stop workers
    ]
