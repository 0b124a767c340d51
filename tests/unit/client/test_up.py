"""What `ocrfarm up` checks before it starts anything, and what it plans to start. The real thing runs in tests/e2e."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.conftest import redis_server_program

from ocrfarm.farm import CannotStart, plan
from ocrfarm.farm.ports import claim, listen, port_of
from ocrfarm.farm.supervisor import hold_state
from ocrfarm_shared.settings import Settings, read_settings


def settings(tmp_path: Path, **more: object) -> Settings:
    return plan.absolute(read_settings({}, state=tmp_path / "state", **({"port": 0, "flower_port": 0} | more)))


def up(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("OCRFARM_")} | environment
    return subprocess.run(
        [sys.executable, "-m", "ocrfarm", "up", *arguments], env=env, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("variable", ["OCRFARM_PORT", "OCRFARM_FLOWER_PORT", "OCRFARM_REDIS_PORT"])
def test_a_taken_port_is_a_sentence_and_nothing_is_started(tmp_path: Path, variable: str) -> None:
    redis_server_program()
    ports = {"OCRFARM_PORT": "0", "OCRFARM_FLOWER_PORT": "0", "OCRFARM_REDIS_PORT": "0"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        done = up("--no-samples", **(ports | {variable: number, "OCRFARM_STATE": str(tmp_path / "state")}))
    assert done.returncode == 2
    assert done.stderr.startswith("ocrfarm up: Port " + number)
    assert variable in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "state" / "logs").exists()
    assert not (tmp_path / "state" / "pids.json").exists()


def test_a_folder_in_use_a_missing_file_and_a_wrong_setting_are_sentences(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with hold_state(state):
        done = up("--no-samples", OCRFARM_STATE=str(state), OCRFARM_PORT="0")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"runs in {state}" in done.stderr
    done = up(str(tmp_path / "missing.pdf"), OCRFARM_STATE=str(state))
    assert (done.returncode, done.stderr) == (
        2,
        f"ocrfarm up: There is no file {tmp_path}/missing.pdf; check the name and the folder.\n",
    )
    done = up(OCRFARM_STATE=str(state), OCRFARM_LEASE_S="7")
    assert done.returncode == 2
    assert "3 x OCRFARM_HEARTBEAT_S (15) must be <= OCRFARM_LEASE_S (7)" in done.stderr


def test_the_folder_is_free_again_when_its_farm_is_gone(tmp_path: Path) -> None:
    with hold_state(tmp_path), pytest.raises(CannotStart, match=f"process {os.getpid()}"), hold_state(tmp_path):
        pass
    with hold_state(tmp_path):
        pass


def test_it_does_not_listen_beyond_this_machine_unless_told(tmp_path: Path) -> None:
    redis_server_program()
    done = up("--no-samples", OCRFARM_STATE=str(tmp_path / "farm"), OCRFARM_HOST="0.0.0.0", OCRFARM_PORT="0")
    assert done.returncode == 2
    assert "`ocrfarm keys create --tenant NAME`" in done.stderr
    assert "OCRFARM_OPEN_TO_ALL=yes-anyone-may-read-and-send" in done.stderr
    made = plan.make(settings(tmp_path, host="0.0.0.0"))
    assert made.page == f"http://127.0.0.1:{made.settings.port}"
    (api,) = [program for program in made.programs if program.name == "api"]
    for door in api.sockets:
        door.close()


def test_a_state_folder_that_others_may_look_into_is_shut(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for held in ((), ("models", "own-models"), ("farm.lock", "notes.txt")):
        state.mkdir()
        for name in held:
            (state / name).touch()
        state.chmod(0o755)
        with hold_state(state):
            assert state.stat().st_mode & 0o777 == 0o700
        shutil.rmtree(state)


def test_a_folder_that_is_no_farms_is_left_as_it_is(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "letters").mkdir()
    home.chmod(0o755)
    with pytest.raises(CannotStart, match=r"mode 0755.*OCRFARM_STATE"), hold_state(home):
        pass
    assert home.stat().st_mode & 0o777 == 0o755
    home.chmod(0o700)
    with hold_state(home):
        pass


def test_the_plan_of_a_farm_with_an_embedded_redis(tmp_path: Path) -> None:
    redis_server_program()
    made = plan.make(settings(tmp_path, url="http://elsewhere:1", workers=3))
    programs = {program.name: program for program in made.programs}
    assert list(programs) == ["redis", "api", "dispatcher", "worker", "flower"]
    assert made.stop_order == list(plan.STOP_ORDER)
    assert set(made.stop_order) == set(programs)
    assert made.redis
    roles = {"api": "gateway", "dispatcher": "dispatcher", "worker": "worker", "flower": "flower"}
    for name, program in programs.items():
        child = read_settings(dict(program.env))
        known = [user for user, password in made.redis.passwords.items() if password in str(program.env)]
        assert known == ([roles[name]] if name in roles else [])  # each its own, nobody the admin's
        for password in made.redis.passwords.values():
            assert password not in " ".join(program.argv)  # everybody can read argument lists
        if user := roles.get(name):
            place = f"127.0.0.1:{made.redis.port}/0"
            assert child.broker_url == f"redis://{user}:{made.redis.passwords[user]}@{place}"
        assert (child.workers, child.port, child.state) == (3, made.settings.port, tmp_path / "state")
    assert made.page == f"http://127.0.0.1:{made.settings.port}"
    for door in programs["api"].sockets:
        assert port_of(door) == made.settings.port
        door.close()
    assert "--read_only=True" in programs["flower"].argv
    assert "--address=127.0.0.1" in programs["flower"].argv
    assert "FLOWER_BASIC_AUTH" not in programs["flower"].env


def test_flower_is_shown_to_others_with_a_login_alone(tmp_path: Path) -> None:
    redis_server_program()
    for half in ({}, {"flower_user": "watcher"}, {"flower_password": "a-password-of-mine"}):
        with pytest.raises(CannotStart, match="OCRFARM_FLOWER_USER and OCRFARM_FLOWER_PASSWORD"):
            plan.make(settings(tmp_path, flower_host="0.0.0.0", **half))
    login = {"flower_user": "watcher", "flower_password": "a-password-of-mine"}
    made = plan.make(settings(tmp_path, flower_host="0.0.0.0", **login))
    for program in made.programs:
        for door in program.sockets:
            door.close()
        known = "a-password-of-mine" in str(program.env)
        assert known == (program.name == "flower"), program.name
        assert "a-password-of-mine" not in " ".join(program.argv)
        if known:
            assert program.env["FLOWER_BASIC_AUTH"] == "watcher:a-password-of-mine"
            assert "--address=0.0.0.0" in program.argv
            assert "--read_only=True" in program.argv


def test_a_farm_that_nodes_can_join(tmp_path: Path) -> None:
    """The gateway alone can tell a node how to reach Redis, and only where that was asked for."""
    redis_server_program()
    made = plan.make(
        settings(tmp_path, redis_host="127.0.0.2", join_url="http://other:8000", node_token="t", flower=False)
    )
    assert made.redis
    programs = {program.name: read_settings(dict(program.env)) for program in made.programs}
    wanted = f"redis://worker:{made.redis.passwords['worker']}@127.0.0.2:{made.redis.port}/0"
    assert {name: told.node_redis_url for name, told in programs.items() if told.node_redis_url} == {"api": wanted}
    assert {told.join_url for told in programs.values()} == {None}
    assert {told.node_token for told in programs.values()} == {None}
    made.programs[1].sockets[0].close()


def test_ones_own_redis_is_not_started(tmp_path: Path) -> None:
    made = plan.make(settings(tmp_path, redis_url="redis://10.0.0.9:6379/3", redis_password="p", flower=False))
    assert made.redis is None
    assert [program.name for program in made.programs] == ["api", "dispatcher", "worker"]
    assert read_settings(dict(made.programs[0].env)).broker_url == "redis://:p@10.0.0.9:6379/3"
    made.programs[0].sockets[0].close()


def test_gateways_side_by_side_share_one_socket(tmp_path: Path) -> None:
    redis_server_program()
    counters = tmp_path / "state" / "counters"
    counters.mkdir(parents=True)
    (counters / "counter_1.db").write_bytes(b"of an earlier farm")
    made = plan.make(settings(tmp_path, gateways=3, flower=False))
    assert made.stop_order == ["worker", "dispatcher", "api", "api-2", "api-3", "redis"]
    doors = [door for program in made.programs for door in program.sockets]
    assert len(doors) == 3
    assert len(set(doors)) == 1
    assert {p.env.get("PROMETHEUS_MULTIPROC_DIR") for p in made.programs if p.sockets} == {str(counters)}
    assert list(counters.iterdir()) == []
    doors[0].close()


def test_ports() -> None:
    with listen("127.0.0.1", 0, "x", "X") as door:
        with pytest.raises(CannotStart, match="is taken"):
            claim("127.0.0.1", port_of(door), "the gateway", "OCRFARM_PORT")
        with socket.create_connection(("127.0.0.1", port_of(door)), timeout=5):
            pass  # waits in the queue though nobody accepts yet
    assert claim("127.0.0.1", 0, "x", "X") > 0
    with pytest.raises(CannotStart, match=r"cannot listen on 203\.0\.113\.7"):
        claim("203.0.113.7", 0, "the gateway", "OCRFARM_HOST")


@pytest.mark.farm
def test_a_gateway_that_is_killed_lets_nobody_stand_at_a_closed_door(tmp_path: Path) -> None:
    """The supervisor keeps the listening socket: whoever comes while the gateway is away waits and is served by the next one."""
    import json

    import httpx

    redis_server_program()
    state, port = tmp_path / "state", claim("127.0.0.1", 0, "x", "X")
    env = {k: v for k, v in os.environ.items() if not k.startswith("OCRFARM_")}
    env |= {"OCRFARM_STATE": str(state), "OCRFARM_PORT": str(port), "OCRFARM_FLOWER": "0"}
    with (tmp_path / "out").open("wb") as out:
        farm = subprocess.Popen(
            [sys.executable, "-m", "ocrfarm", "up", "--no-samples"], env=env, stdout=out, stderr=out
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
            ends = time.monotonic() + 60
            while True:  # until the supervisor listens
                try:
                    assert http.get("/livez").status_code == 200
                    break
                except httpx.ConnectError:
                    assert time.monotonic() < ends
                    time.sleep(0.05)
        os.kill(json.loads((state / "pids.json").read_text())["api"]["pid"], signal.SIGKILL)
        assert httpx.get(f"http://127.0.0.1:{port}/livez", timeout=60, trust_env=False).status_code == 200
        farm.send_signal(signal.SIGTERM)
        assert farm.wait(90) == 0
    finally:
        if farm.poll() is None:
            farm.kill()
            farm.wait()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False)
