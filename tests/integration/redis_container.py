"""A Redis in a container of REDIS_IMAGE, with the handles of the tests' own redis-server: started, killed, started again on its file."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import redis
from testcontainers.core.container import DockerContainer

from tests.conftest import RedisServer
from tests.running_farm import free_port

IMAGE = os.environ.get("REDIS_IMAGE", "redis:7")


class RedisContainer(RedisServer):
    """`folder` lies in the container under its own name, so that arguments may name files in it; its program is the image's."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.arguments = arguments
        self.port = free_port()
        self.container: DockerContainer | None = None

    def start(self, url: str | None = None) -> None:
        container = DockerContainer(IMAGE)
        container.with_volume_mapping(str(self.folder), str(self.folder), "rw")
        container.with_kwargs(user=f"{os.getuid()}:{os.getgid()}", network_mode="host")
        container.with_command(
            [
                *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
                *("--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction", *self.arguments),
            ]
        )
        self.container = container.start()
        limit = time.monotonic() + 60
        with redis.Redis.from_url(url or self.url) as connection:
            while True:
                try:
                    connection.ping()
                    return
                except redis.exceptions.ConnectionError:
                    if time.monotonic() > limit:
                        out, err = self.container.get_logs()
                        raise TimeoutError(f"{IMAGE} does not answer:\n{out.decode()}{err.decode()}") from None
                    time.sleep(0.05)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.container is not None:
            self.container.get_wrapped_container().kill(how.name)
            self.container.stop(force=True)
            self.container = None
