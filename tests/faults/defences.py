"""Every defence shown once to be one: `python -m tests.faults.defences [ROW ...]` takes it out of the product; the row's test must fail.

A defence is taken out by text patches of the product's sources, Lua scripts among them, applied as the farm's processes import them (see
inject/sitecustomize.py); the product has no switch for it. Each test runs twice, with the defence (it must pass) and without (it must
fail). The table goes to DEFENCES.md beside this file. test_rows.py holds every patch against the sources, so none can rot unseen.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.faults.rows import ROOT, ROWS

TABLE = Path(__file__).with_name("DEFENCES.md")
RESULTS = Path(__file__).with_name("defences.json")
LUA = "shared/ocrfarm_shared/ledger/scripts"
# Documents are opened in a process that takes nothing from its environment; what is patched there must be let in first.
DECODER = "worker/ocrfarm_worker/decoding/process.py"
LET_IN = (
    (DECODER, '[sys.executable, "-I", "-m",', '[sys.executable, "-m",'),
    (DECODER, 'env={"OMP_NUM_THREADS"', 'env={**__import__("os").environ, "OMP_NUM_THREADS"'),
)


@dataclass(frozen=True)
class Defence:
    """What protects against a row's failure; `patches` ([file, old text, new text]) take it out, and `test` then fails."""

    row: int
    what: str
    test: str
    patches: tuple[tuple[str, str, str], ...]


DEFENCES = [
    Defence(
        1,
        "the sweep publishes again what stayed unclaimed",
        "tests/faults/test_kills.py::test_a_message_lost_between_redis_and_a_worker",
        ((f"{LUA}/sweep.lua", "if not queued[unit] then", "if false then"),),
    ),
    Defence(
        2,
        "a lease that runs out goes back to the backlog",
        "tests/faults/test_kills.py::test_the_whole_pool",
        ((f"{LUA}/sweep.lua", "attempt_failed(unit, u, A.lost, true, true, A.max_attempts)", ""),),
    ),
    Defence(
        3,
        "Redis' append-only file",
        "tests/faults/test_kills.py::test_redis_three_times",
        (("client/ocrfarm/farm/embedded_redis.py", '"appendonly yes"', '"appendonly no"'),),
    ),
    Defence(
        4,
        "the pool takes up its connection again, and its processes read on",
        "tests/faults/test_connections.py::test_the_workers_connections_cut_in_mid_page",
        (
            (
                "shared/ocrfarm_shared/queue.py",
                '"broker_connection_max_retries": None,',
                '"broker_connection_max_retries": None, "broker_connection_retry": False,',
            ),
        ),
    ),
    Defence(
        5,
        "the hard time limit, kept by the pool's parent",
        "tests/faults/test_bad_pages.py::test_a_page_that_hangs_with_a_redis_restart_in_between",
        (("shared/ocrfarm_shared/queue.py", '"task_time_limit": settings.hard_time_limit_s,', '"task_time_limit": None,'),),
    ),
    Defence(
        6,
        "the ledger counts attempts and stops at the limit",
        "tests/faults/test_bad_pages.py::test_a_page_that_kills_its_process",
        ((f"{LUA}/ending.lua", "retryable and tonumber(u.attempt) < max_attempts", "retryable"),),
    ),
    Defence(
        7,
        "time limits and health checks on every connection to Redis",
        "tests/faults/test_connections.py::test_half_open_connections",
        (
            ("shared/ocrfarm_shared/queue.py", '"socket_timeout": 15,', '"socket_timeout": None,'),
            ("shared/ocrfarm_shared/queue.py", '"health_check_interval": 10,', '"health_check_interval": 0,'),
            ("shared/ocrfarm_shared/ledger/client.py", '"socket_timeout": 15,', '"socket_timeout": None,'),
            ("shared/ocrfarm_shared/ledger/client.py", '"health_check_interval": 10,', '"health_check_interval": 0,'),
        ),
    ),
    Defence(
        8,
        "the worker compares its clock with Redis' before it starts",
        "tests/faults/test_clock.py::test_a_clock_an_hour_off",
        (("worker/ocrfarm_worker/boot.py", "if abs(skew) > limit_s:", "if False:"),),
    ),
    Defence(
        9,
        "the upload is stored before the ledger hears of the job",
        "tests/faults/test_gateway_steps.py::test_the_gateway_dies_at_each_step_of_a_submission",
        (("api/ocrfarm_api/submit.py", "        stored=False,", "        stored=True,"),),
    ),
    Defence(
        9,
        "the dispatcher looks for files that no job refers to",
        "tests/faults/test_gateway_steps.py::test_the_gateway_dies_at_each_step_of_a_submission",
        (("api/ocrfarm_api/dispatcher.py", "            self._find_orphans()\n", "            pass\n"),),
    ),
    Defence(
        10,
        "what frees memory goes on when Redis is full",
        "tests/faults/test_full.py::test_redis_full",
        ((f"{LUA}/prelude.lua", "local function even_when_full() call('DEL', key('-')) end", "local function even_when_full() end"),),
    ),
    Defence(
        10,
        "a full disk is a 503, and half an upload is removed",
        "tests/faults/test_full.py::test_no_file_may_grow",
        (("api/ocrfarm_api/intake.py", "    except OSError as err:\n", "    except ZeroDivisionError as err:\n"),),
    ),
    Defence(
        11,
        "a submission joins the run of its cache key that is in flight",
        "tests/faults/test_uploads.py::test_five_hundred_identical_uploads_at_once",
        ((f"{LUA}/submit.lua", "local id = A.use_cache and flight and call('GET', key('flight', flight))", "local id = nil"),),
    ),
    Defence(
        12,
        "the fencing token: a write is taken from the lease's holder alone",
        "tests/faults/test_kills.py::test_a_worker_that_wakes_too_late_writes_nothing",
        ((f"{LUA}/ending.lua", "if u and u.state == 'running' and u.token == text(token) then return u end", "if u then return u end"),),
    ),
    Defence(
        13,
        "the soft shutdown: pages in hand are read to their end",
        "tests/faults/test_restart.py::test_a_rolling_restart",
        (("shared/ocrfarm_shared/queue.py", '"worker_soft_shutdown_timeout": 20.0,', '"worker_soft_shutdown_timeout": 0.0,'),),
    ),
    Defence(
        14,
        "the tenant is part of the cache key",
        "tests/faults/test_tenants.py::test_row_14_the_same_file_and_the_id_of_another_tenant",
        (
            (
                "shared/ocrfarm_shared/fingerprint.py",
                "parts = [PIPELINE_VERSION, tenant, content,",
                "parts = [PIPELINE_VERSION, content,",
            ),
        ),
    ),
    Defence(
        14,
        "a job is shown to its own tenant alone",
        "tests/faults/test_tenants.py::test_row_14_the_same_file_and_the_id_of_another_tenant",
        ((f"{LUA}/view.lua", "if job and job.tenant == A.tenant then", "if job then"),),
    ),
    Defence(
        15,
        "an image that is cut short is an error to the decoder",
        "tests/faults/test_uploads.py::test_a_truncated_image_after_a_good_one",
        (
            *LET_IN,
            ("worker/ocrfarm_worker/pictures.py", "LOAD_TRUNCATED_IMAGES = False", "LOAD_TRUNCATED_IMAGES = True"),
            ("worker/ocrfarm_worker/pictures.py", "            if is_cut_short(image, file):", "            if False:"),
        ),
    ),
    Defence(
        16,
        "pixels are counted from the header, before one is decoded",
        "tests/faults/test_uploads.py::test_bombs",
        (
            *LET_IN,
            ("worker/ocrfarm_worker/pictures.py", "    if width * height > limits.max_pixels:", "    if False:"),
            ("worker/ocrfarm_worker/pictures.py", "Image.MAX_IMAGE_PIXELS = limits.max_pixels", "Image.MAX_IMAGE_PIXELS = None"),
        ),
    ),
    Defence(
        16,
        "what comes out of a zip is counted as it comes",
        "tests/faults/test_zip_bombs.py::test_zip_bombs_in_a_batch",
        (("api/ocrfarm_api/zip_file.py", "            if self._left < 0:", "            if False:"),),
    ),
    Defence(
        17,
        "bytes are counted as they come",
        "tests/faults/test_uploads.py::test_a_chunked_upload_over_the_limit",
        (
            ("api/ocrfarm_api/spool.py", "        if self.size > self._limit:", "        if False:"),
            ("api/ocrfarm_api/intake.py", "            if came > allowed:", "            if False:"),
        ),
    ),
    Defence(
        18,
        "the last job to leave a run ends it, its waiting pages with it",
        "tests/faults/test_bad_pages.py::test_cancelled_in_mid_document",
        ((f"{LUA}/ending.lua", "    end_run(job.run, run, 'cancelled', nil, false)\n", ""),),
    ),
    Defence(
        18,
        "the sweep ends jobs that are past their deadline",
        "tests/faults/test_bad_pages.py::test_a_deadline_in_mid_document",
        ((f"{LUA}/sweep.lua", "    end_job(id, job, 'failed', A.deadline)\n    leave(id, job)\n", ""),),
    ),
]  # fmt: skip


def with_all(tests: list[str]) -> dict[str, str]:
    """How each test ends with every defence in place, all in one session."""
    done = _pytest(tests, ())
    passed = set(re.findall(r"^PASSED ([^\s\[]+)", done, re.M))
    failed = dict(re.findall(r"^(?:FAILED|ERROR) ([^\s\[]+)\S*(?: - (.*))?$", done, re.M))
    return {
        test: "passed" if test in passed and test not in failed else f"FAILED: {_plain(failed.get(test, done[-300:]))}"
        for test in tests
    }


def without(defence: Defence) -> str:
    """How its test ends without it."""
    begun = time.monotonic()
    done = _pytest([defence.test], defence.patches)
    took = time.monotonic() - begun
    if found := re.search(r"^FAILED \S.*? - (.*)$", done, re.M):
        return f"failed, {took:.0f} s: {_plain(found[1])}"
    return f"DID NOT FAIL: {_plain(done[-300:])}"


def _pytest(tests: list[str], patches: tuple[tuple[str, str, str], ...]) -> str:
    """What pytest says. The tests run in a process of their own, with the patches in all of its farms' processes."""
    with tempfile.TemporaryDirectory(prefix="ocrfarm-defences-") as folder:
        arguments = ["-q", "-rA", "--tb=line", "-p", "no:cacheprovider", "--basetemp", f"{folder}/t", *tests]
        # The processes of a killed pool may write into the folder while it is removed; what is left is the temporary folder's.
        return subprocess.run(
            [sys.executable, "-m", "pytest", *(["-x"] if patches else []), *arguments],
            cwd=ROOT, env=os.environ | {"FAULTS_PATCHES": json.dumps(patches), "COLUMNS": "400"}, capture_output=True, text=True,
        ).stdout  # fmt: skip


def _plain(said: str) -> str:
    """One line for a cell of the table, without ids and paths."""
    said = next((line for line in said.splitlines() if line.strip()), "")
    said = re.sub(r"\b(job|run)_[0-9a-f]{8,}", r"\1_…", said)
    said = re.sub(r"/\S+/", "…/", said).replace("|", "/")
    return said if len(said) <= 140 else said[:139] + "…"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.defences", description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, help="Rows of the table; left out: all.")
    parser.add_argument("--jobs", type=int, default=1, help="Runs without a defence at a time; they mostly wait.")
    parser.add_argument("--only", choices=("with", "without"), help="One half of it.")
    asked = parser.parse_args()
    chosen = [defence for defence in DEFENCES if not asked.rows or defence.row in asked.rows]

    def keep(defence: Defence, **said: str) -> None:
        results = known_results()  # another run may have added to them
        results.setdefault(defence.what, {}).update(said)
        known = {d.what: results[d.what] for d in DEFENCES if d.what in results}
        RESULTS.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", "utf8")
        TABLE.write_text(table(known), "utf8")
        print(f"row {defence.row:2} {defence.what}: {said}", flush=True)

    if asked.only != "without":
        ended = with_all(list(dict.fromkeys(defence.test for defence in chosen)))
        for defence in chosen:
            keep(defence, kept=ended[defence.test])
    if asked.only != "with":
        with ThreadPoolExecutor(asked.jobs) as pool:
            for run in as_completed({pool.submit(lambda d=d: (d, without(d))) for d in chosen}):
                defence, said = run.result()
                keep(defence, gone=said)
    return 0 if all(right(known_results().get(defence.what, {})) for defence in chosen) else 1


def known_results() -> dict[str, dict[str, str]]:
    """What: `kept`, how the test ended with it, and `gone`, how without."""
    return json.loads(RESULTS.read_text("utf8")) if RESULTS.exists() else {}


def right(result: dict[str, str]) -> bool:
    """Both halves were run, and ended as they should."""
    return result.get("kept") == "passed" and result.get("gone", "").startswith("failed")


def table(results: dict[str, dict[str, str]]) -> str:
    lines = [
        "# Each defence, taken out once",
        "",
        "Written by `python -m tests.faults.defences`: each test is run with the defence, and with the defence taken out of the",
        "product's processes. The patches are in `defences.py`. A test that passes without its defence would show nothing. Where the",
        "column `with it` is empty, only the other half was run (`--only without`).",
        "",
        "| row | failure | test | defence | with it | without it |",
        "|---|---|---|---|---|---|",
    ]
    for defence in DEFENCES:
        result = results.get(defence.what, {})
        cells = [
            str(defence.row), ROWS[defence.row][0], f"`{defence.test.removeprefix('tests/faults/')}`", defence.what,
            result.get("kept", ""), result.get("gone", "not run yet"),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
