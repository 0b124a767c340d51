"""`ocrfarm doctor`: each trouble is found and says what to do."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ocrfarm.cli import doctor
from ocrfarm.cli.doctor import Grade
from ocrfarm.farm.ports import held_by
from ocrfarm_shared.settings import read_settings

ANY = read_settings({})


def test_it_tells_every_line_and_what_is_wrong() -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("OCRFARM_")}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        env |= {"OCRFARM_PORT": str(taken.getsockname()[1]), "OCRFARM_LEASE_S": "0", "COLUMNS": "300"}
        done = subprocess.run([sys.executable, "-m", "ocrfarm", "doctor"], env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "fail  settings" in done.stdout
    assert "OCRFARM_LEASE_S" in done.stdout
    for what in ("python", "cores", "processor", "memory", "disk", "redis-server", "onnxruntime", "models", "clock"):
        assert f"  {what} " in done.stdout, done.stdout
    assert done.stderr == ""


def test_a_taken_port_is_a_warning() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (found,) = doctor.ports(read_settings({}, port=port, flower=False))
        assert (found.grade, "OCRFARM_PORT" in found.told) == (Grade.WARN, True)
    (found,) = doctor.ports(read_settings({}, port=port, flower=False))
    assert found.grade is Grade.OK


def test_the_ports_of_the_farm_that_runs_here_are_no_trouble(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        port = taken.getsockname()[1]
        conf = read_settings({}, port=port, flower=False, state=tmp_path)
        (tmp_path / "pids.json").write_text(json.dumps({"api": {"pid": 1 << 22}, "worker": {"argv": []}}))
        assert [found.grade for found in doctor.ports(conf)] == [Grade.WARN]
        (tmp_path / "pids.json").write_text(json.dumps({"supervisor": {"pid": os.getpid()}}))
        (found,) = doctor.ports(conf)
        assert (found.grade, str(tmp_path) in found.told) == (Grade.OK, True)
        assert held_by(six.getsockname()[1], [os.getpid()])
    assert not held_by(port, [os.getpid()])
    for damaged in ("", "[]", '{"api": 3}', '{"api": {"pid": []}}'):
        (tmp_path / "pids.json").write_text(damaged)
        assert doctor.running(tmp_path) == set()


def test_variables_that_nobody_reads_are_named() -> None:
    (slip, other) = doctor.variables({"OCRFARM_PROT": "OCRFARM_PORT", "OCRFARM_XYZZY": None})
    assert (slip.grade, "OCRFARM_PROT" in slip.told, "OCRFARM_PORT" in slip.advice) == (Grade.WARN, True, True)
    assert (other.grade, "OCRFARM_XYZZY" in other.told) == (Grade.WARN, True)


def test_processes_and_memory(tmp_path: Path) -> None:
    assert doctor.cores(read_settings({}, workers=500)).grade is Grade.WARN
    assert doctor.cores(ANY).grade is Grade.OK
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  8000000 kB\nMemAvailable:  900000 kB\n")
    assert doctor.memory(meminfo, read_settings({}, workers=4)).grade is Grade.WARN
    meminfo.write_text("MemTotal:  8000000 kB\nMemAvailable:  7000000 kB\n")
    assert doctor.memory(meminfo, read_settings({}, workers=4)).grade is Grade.OK
    assert doctor.memory(tmp_path / "none", ANY).grade is Grade.WARN


@pytest.mark.skipif(platform.machine() != "x86_64", reason="of x86-64 processors")
def test_a_processor_without_avx2_is_slow(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : fpu sse sse2 avx\n")
    assert doctor.instructions(cpuinfo).grade is Grade.WARN
    cpuinfo.write_text("flags : fpu sse sse2 avx avx2\n")
    assert doctor.instructions(cpuinfo).grade is Grade.OK


def test_disk(tmp_path: Path) -> None:
    assert doctor.disk(tmp_path / "not" / "there" / "yet").grade in (Grade.OK, Grade.WARN)
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        assert doctor.disk(tmp_path / "state").grade is Grade.FAIL


@pytest.mark.farm
def test_the_clock_of_a_redis_of_ones_own(redis_url: str) -> None:
    assert doctor.clock(read_settings({}, redis_url=redis_url)).grade is Grade.OK
    assert doctor.clock(read_settings({}, redis_url=redis_url, max_clock_skew_s=1e-9)).grade is Grade.FAIL
    assert doctor.clock(read_settings({}, redis_url="redis://127.0.0.1:1/0")).grade is Grade.FAIL
    assert doctor.clock(ANY).grade is Grade.OK
