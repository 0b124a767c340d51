"""docker-compose.yml as it is written, and as the compose tool of this machine reads it. No engine is needed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.watching.programs import MONITORING, promtool

from ocrfarm_shared.settings import PREFIX, Settings

ROOT = Path(__file__).parents[3]
FILE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf8"))
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
ONE_SHOT = {"setup", "metrics-key"}

# What a person does not set in containers, and why.
OURS = {
    "state": "a volume", "model_folder": "the image's", "host": "the image's", "port": "the published one",
    "redis_url": "the service", "redis_user": "a part's own", "redis_password": "a file", "namespace": "a farm is a project",
    "compat_port": "the door has one port", "flower_port": "the published one", "redis_port": "never published",
    "redis_fsync": "the set-up's", "redis_maxmemory_mb": "the set-up's", "gateways": "containers", "flower": "a service",
    "url": "the client's", "api_key": "the client's", "commit": "the image's", "workers": "of one container",
    "flower_host": "its container's", "flower_user": "a file", "flower_password": "a file",
    "redis_host": "of the embedded one", "node_redis_url": "a file", "node": "the container's name", "join_url": "a joined node's",
    "node_token": "a joined node's", "node_cache_mb": "a joined node's",
}  # fmt: skip


def tools() -> list[list[str]]:
    """Every compose tool that is here. Skips where there is none; fails in CI."""
    found = []
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        found.append(["docker", "compose"])
    if shutil.which("docker-compose"):
        found.append(["docker-compose"])
    if not found:
        if os.environ.get("CI"):
            pytest.fail("no docker compose here; CI must have it")
        pytest.skip("no docker compose here")
    return found


def config(tool: list[str], *arguments: str, **environment: str) -> Any:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OCRFARM_")}
    done = subprocess.run(
        [*tool, *arguments, "config"],
        env=kept | environment, cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


def test_the_tool_takes_it() -> None:
    for tool in tools():
        plain = config(tool)
        assert {"setup", "redis", "door", "api", "dispatcher", "worker", "flower"} <= set(plain["services"])
        assert "monitoring" not in str(plain["services"].get("api"))
        watched = config([*tool, "--profile", "monitoring"])
        assert {"prometheus", "grafana", "metrics-key"} <= set(watched["services"])


def test_what_is_chosen_reaches_the_parts() -> None:
    for tool in tools():
        chosen = config(
            tool, OCRFARM_DPI="300", OCRFARM_WORKERS="3", REDIS_IMAGE="mine/redis:7", OCRFARM_LISTEN="10.1.2.3"
        )
        worker = chosen["services"]["worker"]
        assert str(worker["environment"]["OCRFARM_DPI"]) == "300"
        assert str(worker["environment"]["OCRFARM_WORKERS"]) == "3"
        assert float(worker["cpus"]) == 3
        assert chosen["services"]["redis"]["image"] == "mine/redis:7"
        assert "10.1.2.3" in str(chosen["services"]["door"]["ports"])
        assert "10.1.2.3" not in str(chosen["services"]["flower"]["ports"])


def test_redis_is_published_for_nodes_at_the_address_that_is_named_and_no_other() -> None:
    both = ["-f", str(ROOT / "docker-compose.yml"), "-f", str(ROOT / "docker-compose.nodes.yml")]
    for tool in tools():
        told = config([*tool, *both], OCRFARM_NODES_LISTEN="10.9.8.7")["services"]
        assert "10.9.8.7" in str(told["redis"]["ports"])
        assert len(told["redis"]["ports"]) == 1
        assert {"back", "nodes"} == set(told["redis"]["networks"])
        assert told["api"]["environment"]["OCRFARM_REDIS_USER"] == "gateway"
        unnamed = subprocess.run([*tool, *both, "config"], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert unnamed.returncode != 0
        assert "name an address" in unnamed.stdout + unnamed.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_locked_in(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    assert service["mem_limit"]
    assert service["init"] is True
    if name not in ONE_SHOT:
        assert service["restart"] == "unless-stopped"
        assert service["stop_grace_period"] == "40s"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT - {"prometheus", "grafana"}))
def test_every_standing_service_says_how_it_is(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


def test_nothing_but_the_door_can_be_published_elsewhere() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert port.startswith("${OCRFARM_LISTEN:-127.0.0.1}:" if name == "door" else "127.0.0.1:"), (name, port)
    assert "ports" not in SERVICES["redis"]
    assert FILE["networks"]["back"]["internal"] is True
    assert SERVICES["redis"]["networks"] == SERVICES["worker"]["networks"] == ["back"]


def test_no_secret_stands_in_it() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable:
                assert value.startswith("/volumes/"), (name, variable)


def test_every_setting_is_passed_on_or_ours() -> None:
    passed = {name.removeprefix(PREFIX).lower() for name in FILE["x-settings"] if name.startswith(PREFIX)}
    assert set(Settings.model_fields) - passed - set(OURS) == set()


def test_every_volume_is_first_mounted_by_the_set_up() -> None:
    """There it finds the folder of the image that gives it its owner."""
    made = {volume.partition(":")[0] for volume in SERVICES["setup"]["volumes"]}
    assert made == set(FILE["volumes"])
    dockerfile = (ROOT / "infra" / "docker" / "api.Dockerfile").read_text("utf8")
    folders = re.search(r"mkdir -m 0700 (.*?)&&", dockerfile, re.DOTALL)
    assert folders is not None
    assert set(folders[1].replace("\\", "").split()) == made
    for name, service in SERVICES.items():
        if name == "setup" or not any(v.partition(":")[0] in made for v in service.get("volumes", [])):
            continue
        waits = {name, *service.get("depends_on", {})}
        assert waits & {"setup", "metrics-key"}, name


def test_what_it_mounts_from_this_folder_is_here() -> None:
    mounted = [v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", []) if v.startswith("./")]
    assert mounted
    for path in mounted:
        assert (ROOT / path).exists(), path


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    """Beside the rules, as it is mounted; and it is the one of infra/monitoring but for where the gateways are."""
    for file in (ROOT / "infra" / "docker" / "prometheus.yml", MONITORING / "alerts.yml"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    done = promtool("check", "config", "--syntax-only", str(tmp_path / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    ours, theirs = (
        yaml.safe_load(file.read_text("utf8")) for file in (tmp_path / "prometheus.yml", MONITORING / "prometheus.yml")
    )
    assert (ours["global"], ours["rule_files"]) == (theirs["global"], theirs["rule_files"])
    assert [job["job_name"] for job in ours["scrape_configs"]] == [job["job_name"] for job in theirs["scrape_configs"]]
    key = ours["scrape_configs"][0]["authorization"]["credentials_file"]
    assert key.rpartition("/")[0] in [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]]


def test_the_images_are_made_with_the_makefiles_uv() -> None:
    wanted = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text("utf8"), re.MULTILINE)
    used = re.search(r"^UV_VERSION=(\S+)", (ROOT / "infra" / "docker" / "install.sh").read_text("utf8"), re.MULTILINE)
    assert wanted is not None
    assert used is not None
    assert wanted[1] == used[1]


def test_the_bake_file_makes_the_same_images() -> None:
    text = (ROOT / "infra" / "docker" / "docker-bake.hcl").read_text("utf8")
    baked = set(re.findall(r'dockerfile = "(\S+)"', text))
    assert baked == {s["build"]["dockerfile"] for s in SERVICES.values() if "build" in s}
    assert '["linux/amd64", "linux/arm64"]' in text
