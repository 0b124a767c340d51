"""Make what a farm in containers needs before its first start, and leave what is there: the one-shot service `setup` of docker-compose.yml.

It runs at every `docker compose up`, without a network and without a privilege. Into the volume `owner`, which nobody else mounts, go the
Redis users with their passwords (infra/redis/make_users.py); into each part's own volume goes what that part needs, and no more:

    redis-secrets       users.acl (passwords as hashes), redis.conf, the admin's password (for health checks and backups)
    ROLE-secrets        redis-password; the gateways', where nodes elsewhere may join, also the worker's (node-redis-url)
    flower-secrets      login: NAME:PASSWORD of Flower's page
    grafana-secrets     admin-password

Passwords stay as they are; what each Redis user may do is written anew, as this release says it.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

import make_users

VOLUMES = Path("/volumes")
ROLES = ("gateway", "dispatcher", "worker", "flower")
REDIS_CONF = Path(__file__).with_name("redis.conf")


def main() -> int:
    """Exit code 0, or 1 where a volume cannot be written to."""
    os.umask(0o077)
    owner = VOLUMES / "owner"
    try:
        for volume in VOLUMES.iterdir():
            (volume / ".ocrfarm").touch()  # a volume that holds something keeps its owner, whoever mounts it next
        if make_users.main(["--out", str(owner), "--keep"]):
            return 1
        for role in ROLES:
            put(VOLUMES / f"{role}-secrets" / "redis-password", password(owner / f"{role}.env"))
        redis = VOLUMES / "redis-secrets"
        put(redis / "users.acl", (owner / "users.acl").read_text("ascii"))
        put(redis / "admin-password", password(owner / "admin.env"))
        put(redis / "redis.conf", redis_conf(os.environ.get("REDIS_MAXMEMORY_MB"), os.environ.get("REDIS_FSYNC")))
        if nodes := os.environ.get("NODES_REDIS"):  # docker-compose.nodes.yml: where nodes elsewhere find Redis
            worker = password(owner / "worker.env")
            put(VOLUMES / "gateway-secrets" / "node-redis-url", f"redis://worker:{worker}@{nodes}/0")
        else:
            (VOLUMES / "gateway-secrets" / "node-redis-url").unlink(missing_ok=True)
        first(VOLUMES / "flower-secrets" / "login", f"ocrfarm:{secrets.token_urlsafe(24)}")
        first(VOLUMES / "grafana-secrets" / "admin-password", secrets.token_urlsafe(24))
    except PermissionError as err:
        user = os.getuid()
        print(
            f"{err.filename} cannot be written to by user {user}: give it the volume that is mounted there (chown -R {user}).",
            file=sys.stderr,
        )
        return 1
    print("all is there")
    return 0


def password(env_file: Path) -> str:
    """OCRFARM_REDIS_PASSWORD of one of make_users.py's files."""
    found = re.search(r"^OCRFARM_REDIS_PASSWORD=(.+)$", env_file.read_text("ascii"), re.MULTILINE)
    if not found:
        raise ValueError(f"{env_file} holds no OCRFARM_REDIS_PASSWORD")
    return found[1]


def redis_conf(maxmemory_mb: str | None, fsync: str | None) -> str:
    """infra/redis/redis.conf, with its places as they are in the container. Raises ValueError where it has not one of the settings."""
    text = REDIS_CONF.read_text("utf8")
    new = {"bind": "* -::*", "aclfile": "/volumes/redis-secrets/users.acl"}
    if maxmemory_mb:
        new["maxmemory"] = f"{int(maxmemory_mb)}mb"
    if fsync:
        new["appendfsync"] = fsync
    for name, value in new.items():
        text, changed = re.subn(rf"^{name} .*$", f"{name} {value}", text, flags=re.MULTILINE)
        if changed != 1:
            raise ValueError(f"{REDIS_CONF} names {name} {changed} times")
    return f"{text}\ndir /volumes/redis\n"


def first(path: Path, text: str) -> None:
    if not path.exists():
        put(path, text)


def put(path: Path, text: str) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".part")
    partial.write_text(text, "utf8")
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())
