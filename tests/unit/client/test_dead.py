"""`ocrfarm dead`, as a person calls it, on a real gateway."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.unit.client.conftest import Gateway, Hand

from ocrfarm import Client
from ocrfarm_shared.errors import WorkerLost
from ocrfarm_shared.ledger import calls


def ocrfarm(gateway: Gateway, *words: str) -> subprocess.CompletedProcess[str]:
    env = gateway.settings.child_environment() | {"OCRFARM_URL": gateway.url}
    return subprocess.run(
        [sys.executable, "-m", "ocrfarm", "dead", *words], env=env, capture_output=True, text=True, timeout=240
    )


def test_list_show_and_replay(gateway: Gateway, hand: Hand, letter: Path) -> None:
    with Client(gateway.url) as client:
        job = client.submit(letter).id
        unit = hand.take()
        said = json.dumps(
            {"time": "t", "level": "ERROR", "logger": "l", "message": "it \x1b[2J broke", "traceback": "A\nB"}
        )
        hand.ledger(calls.fail(unit.unit, WorkerLost(), token=unit.token, max_attempts=1, log=[said]))
        listed, shown = ocrfarm(gateway, "list"), ocrfarm(gateway, "show", job)
        assert (listed.returncode, shown.returncode) == (0, 0), listed.stderr + shown.stderr
        assert job in listed.stdout
        assert "worker_lost" in listed.stdout
        assert "letter.png" in listed.stdout
        for words in (
            "attempt 1 on page 1",
            "process hand",
            "worker_lost: The worker process died",
            "|   A\n  |   B\n",
        ):
            assert words in shown.stdout
        assert "it \ufffd[2J broke" in shown.stdout  # a log is no order to the terminal
        done = ocrfarm(gateway, "replay", "--all")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{job}: read again as the new job job_")
        hand.read("at last")
        new = done.stdout.split()[-1]
        assert client.text(new) == "at last"
        wrong = ocrfarm(gateway, "replay", new)
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert "There is no dead letter" in wrong.stderr
        assert [found.id for found in client.dead_letters()] == [job]
        assert client.dead_letter(job).attempts[0].log[0]["level"] == "ERROR"
