"""infra/docker/setup.py: what it makes in the volumes, and what it leaves."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
VOLUMES = (
    *("state", "redis", "prometheus", "grafana", "owner", "redis-secrets", "gateway-secrets", "dispatcher-secrets"),
    *("worker-secrets", "flower-secrets", "grafana-secrets", "metrics-secrets"),
)


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as it lies in the image, beside what infra/redis holds."""
    share, volumes = tmp_path / "share", tmp_path / "volumes"
    for folder in (share, *(volumes / name for name in VOLUMES)):
        folder.mkdir(parents=True)
    for file in (*(ROOT / "infra" / "redis").iterdir(), ROOT / "infra" / "docker" / "setup.py"):
        if file.is_file():
            (share / file.name).write_bytes(file.read_bytes())
    monkeypatch.syspath_prepend(str(share))
    monkeypatch.delitem(sys.modules, "make_users", raising=False)
    for name in ("REDIS_MAXMEMORY_MB", "REDIS_FSYNC", "NODES_REDIS"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("container_setup", share / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "VOLUMES", volumes)
    mask = os.umask(0o022)
    yield module
    os.umask(mask)
    sys.modules.pop("make_users", None)


def files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text("utf8") for p in sorted(folder.rglob("*")) if p.is_file()}


def test_each_part_is_given_its_own(setup: ModuleType) -> None:
    assert setup.main() == 0
    made = files(setup.VOLUMES)
    passwords = {role: made[f"{role}-secrets/redis-password"] for role in setup.ROLES}
    passwords["admin"] = made["redis-secrets/admin-password"]
    assert len(set(passwords.values())) == 5
    for role, password in passwords.items():
        holders = {name for name, text in made.items() if password in text}
        own = "redis-secrets/admin-password" if role == "admin" else f"{role}-secrets/redis-password"
        assert holders == {own, f"owner/{role}.env"}
    assert made["flower-secrets/login"].startswith("ocrfarm:")
    assert len(made["flower-secrets/login"]) > 30
    assert all((setup.VOLUMES / name / ".ocrfarm").exists() for name in VOLUMES)
    for name in made:
        assert stat.S_IMODE((setup.VOLUMES / name).stat().st_mode) == 0o600, name


def test_a_second_start_changes_no_secret_and_says_rights_anew(setup: ModuleType) -> None:
    assert setup.main() == 0
    first = files(setup.VOLUMES)
    acl = setup.VOLUMES / "redis-secrets" / "users.acl"
    acl.write_text("user worker on nopass +@all\n", "ascii")
    assert setup.main() == 0
    assert files(setup.VOLUMES) == first


def test_gateways_are_told_the_workers_password_only_where_nodes_may_join(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = setup.VOLUMES / "gateway-secrets" / "node-redis-url"
    assert setup.main() == 0
    assert not told.exists()
    monkeypatch.setenv("NODES_REDIS", "10.0.0.5:6379")
    assert setup.main() == 0
    worker = (setup.VOLUMES / "worker-secrets" / "redis-password").read_text("ascii")
    assert told.read_text("ascii") == f"redis://worker:{worker}@10.0.0.5:6379/0"
    monkeypatch.delenv("NODES_REDIS")
    assert setup.main() == 0
    assert not told.exists()


def test_redis_is_told_what_was_chosen(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_MAXMEMORY_MB", "256")
    monkeypatch.setenv("REDIS_FSYNC", "always")
    assert setup.main() == 0
    told = (setup.VOLUMES / "redis-secrets" / "redis.conf").read_text("utf8").splitlines()
    said = [line for line in told if line and not line.startswith("#")]
    for line in (
        "bind * -::*",
        "aclfile /volumes/redis-secrets/users.acl",
        "maxmemory 256mb",
        "appendfsync always",
        "dir /volumes/redis",
        "appendonly yes",
        "maxmemory-policy noeviction",
    ):
        assert said.count(line) == 1, line


def test_a_volume_of_somebody_elses_is_a_sentence(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(path: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(setup, "put", refused)  # root, who runs tests in CI, is refused nothing
    assert setup.main() == 1
    assert "chown -R" in capsys.readouterr().err
