"""infra/redis: what a farm of several machines is set up with."""

from __future__ import annotations

import re
import runpy
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from tests.conftest import RedisServer

from ocrfarm.farm.embedded_redis import EmbeddedRedis, Server
from ocrfarm_shared.redis_users import ADMIN, ROLES
from ocrfarm_shared.settings import read_settings

INFRA = Path(__file__).parents[3] / "infra" / "redis"
main: Callable[[list[str]], int] = runpy.run_path(str(INFRA / "make_users.py"))["main"]


def test_the_users_that_it_makes_are_let_in_and_confined(
    make_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    out = tmp_path / "users"
    assert main(["--out", str(out), "--namespace", "mine"]) == 0
    assert {path.name for path in out.iterdir()} == {"users.acl", *(f"{n}.env" for n in (*ROLES, ADMIN))}
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    server = make_redis()
    server.kill()
    server.arguments = ("--aclfile", str(out / "users.acl"))

    def settings(name: str) -> str:
        environ = dict(line.split("=", 1) for line in (out / f"{name}.env").read_text("ascii").splitlines())
        return read_settings(environ, redis_url=server.url).broker_url

    server.start(settings(ADMIN))
    for role in ROLES:
        with redis.Redis.from_url(settings(role)) as connection:
            assert connection.ping()
            with pytest.raises(redis.exceptions.NoPermissionError):
                connection.flushall()
    with redis.Redis.from_url(settings("gateway")) as gateway:
        assert gateway.exists("mine:job:x") == 0
        with pytest.raises(redis.exceptions.NoPermissionError):
            gateway.exists("of:job:x")


def test_it_overwrites_no_passwords_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path)]) == 0
    first = (tmp_path / "worker.env").read_text("ascii")
    assert main(["--out", str(tmp_path)]) == 1
    assert "--again" in capsys.readouterr().err
    assert (tmp_path / "worker.env").read_text("ascii") == first
    assert main(["--out", str(tmp_path), "--again"]) == 0
    assert (tmp_path / "worker.env").read_text("ascii") != first
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--namespace", "a *"])


def test_passwords_are_kept_and_rights_said_anew(tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path)]) == 0
    files = {path.name: path.read_text("ascii") for path in tmp_path.iterdir()}
    (tmp_path / "users.acl").write_text("user worker on nopass +@all\n", "ascii")  # of a release that let it do more
    (tmp_path / "flower.env").unlink()
    assert main(["--out", str(tmp_path), "--keep"]) == 0
    again = {path.name: path.read_text("ascii") for path in tmp_path.iterdir()}
    assert again["flower.env"] != files["flower.env"]
    kept = {name for name in files if name not in ("flower.env", "users.acl")}
    assert {name: again[name] for name in kept} == {name: files[name] for name in kept}

    def of(acl: str, user: str) -> str:
        return next(line for line in acl.splitlines() if line.startswith(f"user {user} "))

    for user in (*ROLES, ADMIN):
        assert (of(again["users.acl"], user) == of(files["users.acl"], user)) is (user != "flower")
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--keep", "--again"])


def test_the_configuration_is_the_embedded_ones(tmp_path: Path) -> None:
    """But for places, and for what the settings choose."""
    EmbeddedRedis.prepare(Server(Path("redis-server"), (7, 0, 0)), tmp_path / "redis", 6379, 1024)

    def lines(text: str) -> set[str]:
        kept = (line for line in text.splitlines() if line and not line.startswith("#"))
        return {line for line in kept if not re.match(r"(dir|daemonize|aclfile) ", line)}

    assert lines((INFRA / "redis.conf").read_text("utf8")) == lines((tmp_path / "redis" / "redis.conf").read_text())
