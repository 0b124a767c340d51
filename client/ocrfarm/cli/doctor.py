"""`ocrfarm doctor`: one line for each thing that a farm needs of this machine."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ocrfarm.cli import installed
from ocrfarm.farm import CannotStart
from ocrfarm.farm.embedded_redis import find_server
from ocrfarm.farm.ports import claim, held_by
from ocrfarm_shared.profiles import default_profile, get_profile
from ocrfarm_shared.settings import Settings, SettingsError, read_settings, unknown_variables

GB = 1_000_000_000


class Grade(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


COLOURS = {Grade.OK: "green", Grade.WARN: "yellow", Grade.FAIL: "red"}


@dataclass(frozen=True)
class Finding:
    """`advice` says what to do; empty where all is well."""

    what: str
    grade: Grade
    told: str
    advice: str = ""


def run() -> int:
    """Exit code: 1 where something fails."""
    findings = list(examine())
    table = Table.grid(padding=(0, 2))
    for overflow in ("crop", "crop", "fold"):
        table.add_column(overflow=overflow, no_wrap=overflow == "crop")
    for one in findings:
        table.add_row(
            Text(one.grade, COLOURS[one.grade]), one.what, Text(f"{one.told}. {one.advice}" if one.advice else one.told)
        )
    Console().print(table)
    return 1 if any(one.grade is Grade.FAIL for one in findings) else 0


def examine() -> Iterator[Finding]:
    """All findings, in the order in which trouble is best mended."""
    try:
        settings = read_settings()
    except SettingsError as err:
        yield Finding("settings", Grade.FAIL, str(err), "Correct that variable; the other checks use the defaults")
        settings = read_settings({})
    else:
        yield Finding("settings", Grade.OK, "every setting is valid")
    yield from variables(unknown_variables())
    yield python()
    yield cores(settings)
    yield instructions(Path("/proc/cpuinfo"))
    yield memory(Path("/proc/meminfo"), settings)
    yield disk(settings.state)
    yield redis_program(settings)
    yield from ports(settings)
    yield from imports()
    yield models()
    yield clock(settings)


def variables(unknown: Mapping[str, str | None]) -> Iterator[Finding]:
    """Those that nobody reads: a slip of the pen changes nothing, and nobody says so elsewhere."""
    for name, meant in unknown.items():
        advice = f"Did you mean {meant}?" if meant else "Remove it; README.md and docs/ name those there are"
        yield Finding("settings", Grade.WARN, f"{name} is no setting, and changes nothing", advice)


def python() -> Finding:
    told = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.platform != "linux":
        return Finding("python", Grade.WARN, told, "The farm is made for Linux; the client and its commands work here")
    return Finding("python", Grade.OK, told)


def cores(settings: Settings) -> Finding:
    ours = len(os.sched_getaffinity(0))
    told = f"{ours} for this process, {settings.worker_count} worker processes"
    if settings.worker_count > ours:
        return Finding(
            "cores", Grade.WARN, told, "More processes than cores slow each other down; lower OCRFARM_WORKERS"
        )
    return Finding("cores", Grade.OK, told)


def instructions(cpuinfo: Path) -> Finding:
    """INT8 models gain their speed from AVX2 or VNNI on x86-64, from the dot-product instructions on arm64."""
    try:
        words = set(cpuinfo.read_text("utf8", "replace").split())
    except OSError:
        return Finding("processor", Grade.WARN, f"{platform.machine()}, its features are not known here")
    if platform.machine() in ("x86_64", "AMD64"):
        found = [name for name in ("avx2", "avx_vnni", "avx512_vnni") if name in words]
        if "avx2" not in words:
            return Finding(
                "processor", Grade.WARN, "no AVX2", "Reading works and is slow; a machine of after 2013 is faster"
            )
        return Finding("processor", Grade.OK, ", ".join(found))
    if platform.machine() == "aarch64" and "asimddp" not in words:
        return Finding(
            "processor",
            Grade.WARN,
            "aarch64 without dot products",
            "Reading works and is slow (a Pi 4); a Pi 5 has them",
        )
    return Finding("processor", Grade.OK, platform.machine())


def memory(meminfo: Path, settings: Settings) -> Finding:
    """A worker process rests at about 0.2 GB and peaks at about 0.5 GB on large pages."""
    try:
        rows = dict(line.split(":", 1) for line in meminfo.read_text("ascii").splitlines())
        free = int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return Finding("memory", Grade.WARN, "not known here")
    need = 0.5 * GB * (settings.worker_count + 1)
    told = f"{free / GB:.1f} GB free"
    if free < need:
        return Finding(
            "memory",
            Grade.WARN,
            told,
            f"{settings.worker_count} processes may need {need / GB:.1f} GB; lower OCRFARM_WORKERS",
        )
    return Finding("memory", Grade.OK, told)


def disk(state: Path) -> Finding:
    there = next(folder for folder in (state.absolute(), *state.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    told = f"{free / GB:.1f} GB free for {state}"
    if not os.access(there, os.W_OK):
        return Finding("disk", Grade.FAIL, f"{there} cannot be written to", "Choose another folder with OCRFARM_STATE")
    if free < 0.5 * GB:
        return Finding("disk", Grade.FAIL, told, "Free some, or choose another folder with OCRFARM_STATE")
    if free < 5 * GB:
        return Finding("disk", Grade.WARN, told, "Uploads and results are kept there; free some")
    return Finding("disk", Grade.OK, told)


def redis_program(settings: Settings) -> Finding:
    if settings.redis_url:
        return Finding("redis-server", Grade.OK, "not needed: OCRFARM_REDIS_URL names one")
    try:
        server = find_server()
    except CannotStart as err:
        whole_farm = installed("celery") and installed("fastapi")
        return Finding("redis-server", Grade.FAIL if whole_farm else Grade.WARN, str(err).removesuffix("."))
    return Finding("redis-server", Grade.OK, f"{server.title}, {server.path}")


def ports(settings: Settings) -> Iterator[Finding]:
    asked = [("gateway", settings.host, settings.port, "OCRFARM_PORT")]
    if settings.flower:
        asked.append(("Flower", settings.flower_host, settings.flower_port, "OCRFARM_FLOWER_PORT"))
    if not settings.redis_url and settings.redis_port:
        asked.append(("Redis", "127.0.0.1", settings.redis_port, "OCRFARM_REDIS_PORT"))
    ours = running(settings.state)
    for what, host, port, variable in asked:
        try:
            claim(host, port, what, variable)
        except CannotStart as err:
            if held_by(port, ours):
                yield Finding(f"port {port}", Grade.OK, f"{what} of the farm that runs in {settings.state}")
            else:
                yield Finding(f"port {port}", Grade.WARN, str(err).removesuffix("."))
        else:
            yield Finding(f"port {port}", Grade.OK, f"free for {what}")


def running(state: Path) -> set[int]:
    """The process ids of the farm in that folder, as its supervisor wrote them down; none where it does not run."""
    try:
        told = json.loads((state / "pids.json").read_text("utf8"))
        return {int(program["pid"]) for program in told.values() if program.get("pid")}
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return set()


def imports() -> Iterator[Finding]:
    """In a process of its own: a library built for another processor does not raise, it dies."""
    for library, extra in (("onnxruntime", "worker"), ("cv2", "worker"), ("fastapi", "api"), ("celery", "farm")):
        done = _python("-c", f"import {library}; print({library}.__version__)")
        if done is not None and done.returncode == 0:
            yield Finding(library, Grade.OK, done.stdout.strip())
            continue
        if done is not None and "ModuleNotFoundError" in done.stderr and f"'{library}'" in done.stderr:
            yield Finding(
                library,
                Grade.WARN,
                "not installed",
                f"A client needs none; for more, `pip install 'ocrfarm[{extra}]'`",
            )
        else:
            yield Finding(library, Grade.FAIL, f"cannot be imported: {_last_line(done)}", f"Reinstall {library}")


def models() -> Finding:
    """Those of the default profile, by the models room's own command, which finds each file and checks its sha-256."""
    try:
        profile = get_profile(default_profile())
    except SettingsError as err:  # profiles of added models lie in the state folder, so they are not known without it
        return Finding("models", Grade.FAIL, f"not looked at: {err}", "Correct that first")
    for model in profile.models:
        done = _python("-m", "ocrfarm", "models", "path", model)
        if done is not None and done.returncode == 0:
            continue
        if done is None or "No such command" in done.stderr:
            return Finding(
                "models",
                Grade.WARN,
                "not installed here",
                "A client needs none; for a worker, `pip install 'ocrfarm[worker]'`",
            )
        told = _last_line(done).removeprefix("ocrfarm models: ").removesuffix(".")
        return Finding("models", Grade.WARN if "not built" in told else Grade.FAIL, told)
    return Finding("models", Grade.OK, f"{', '.join(profile.models)}: there, and the ones that the registry names")


def clock(settings: Settings) -> Finding:
    """Leases and deadlines are by Redis' clock: a worker that is far off it refuses to start."""
    if not settings.redis_url:
        return Finding("clock", Grade.OK, "one machine, one clock")
    try:
        import redis
    except ModuleNotFoundError:
        return Finding("clock", Grade.WARN, "not compared: the package redis is not installed")
    try:
        with redis.Redis.from_url(settings.broker_url, socket_timeout=5, socket_connect_timeout=5) as connection:
            before = time.time()
            seconds, micros = connection.time()
            skew = (before + time.time()) / 2 - (seconds + micros / 1e6)
    except (redis.RedisError, ValueError) as err:
        return Finding(
            "clock", Grade.FAIL, f"Redis does not answer: {err}", "Is it up, and is OCRFARM_REDIS_URL its address?"
        )
    told = f"{abs(skew):.2f} s off Redis'"
    if abs(skew) > settings.max_clock_skew_s:
        return Finding("clock", Grade.FAIL, told, "Set this machine's clock (`timedatectl set-ntp true`)")
    return Finding("clock", Grade.OK, told)


def _python(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run([sys.executable, "-P", *arguments], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.SubprocessError):
        return None


def _last_line(done: subprocess.CompletedProcess[str] | None) -> str:
    if done is None:
        return "it did not end"
    if done.returncode < 0:
        return f"it was killed by signal {-done.returncode}"
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"
