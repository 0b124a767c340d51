"""`ocrfarm node`, as a person calls it, on a real gateway."""

from __future__ import annotations

import subprocess
import sys

from tests.unit.client.conftest import Gateway, Hand

from ocrfarm import Client
from ocrfarm.cli.node_work import heat
from ocrfarm_shared.keys import Role
from ocrfarm_shared.ledger import Ledger, calls, key_calls, node_calls
from ocrfarm_shared.settings import Settings


def ocrfarm(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ocrfarm", "node", *words],
        env=settings.child_environment(), capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def test_a_token_is_a_key_of_the_role_node_and_says_what_to_do_with_it(farm_settings: Settings) -> None:
    made = ocrfarm(farm_settings, "token", "--name", "the Pis", "--expires", "90d")
    assert made.returncode == 0, made.stderr
    told = " ".join(made.stderr.split())
    assert "`ocrfarm worker join URL TOKEN`" in told
    assert "OCRFARM_API_KEY" not in told
    ledger = Ledger.open(farm_settings)
    (key,) = ledger(key_calls.list_keys()).keys
    ledger.close()
    assert (key.roles, key.name, key.id) == ((Role.NODE,), "the Pis", made.stdout.split("_")[1])
    assert ocrfarm(farm_settings, "token", "-q").stdout.startswith("ocr_")


def test_list_drain_and_undrain(gateway: Gateway, hand: Hand) -> None:
    settings = gateway.settings.model_copy(update={"url": gateway.url})
    info = {
        "node": "pi-1",
        "version": "0.1.0",
        "profiles": ["fast"],
        "host": {"temperature_c": 61.5, "throttled": ["throttled"]},
    }
    hand.ledger(calls.heartbeat("pi-1:7", info, lease_s=60))
    hand.ledger(node_calls.join("pi-2", "0" * 16))
    rows = [row.split() for row in ocrfarm(settings, "list").stdout.splitlines()]
    assert rows[1][:3] == ["hand", "serving", "1"]  # the fixture's own
    assert rows[2] == ["pi-1", "serving", "1", "0", "62", "°C,", "throttled", "fast", "0.1.0"]
    assert rows[3][:3] == ["pi-2", "away", "0"]
    drained = ocrfarm(settings, "drain", "pi-1", "nobody")
    assert drained.returncode == 1
    assert drained.stdout.startswith("pi-1: finishes what it holds and takes no more;")
    assert "There is no node 'nobody' here" in drained.stderr
    hand.ledger(calls.heartbeat("pi-1:7", info | {"reading": "run_x:1"}, lease_s=60))
    with Client(gateway.url) as client:
        assert [(node.name, node.state) for node in client.nodes.list()] == [
            ("hand", "serving"),
            ("pi-1", "draining"),
            ("pi-2", "away"),
        ]
        assert client.nodes.drain("pi-1").state == "draining"
    hand.ledger(calls.heartbeat("pi-1:7", info, lease_s=60))
    assert ocrfarm(settings, "drain", "pi-1").stdout == "pi-1: takes no more\n"
    back = ocrfarm(settings, "undrain", "pi-1")
    assert (back.returncode, back.stdout) == (0, "pi-1: takes pages again\n")


def test_heat() -> None:
    assert heat({}) == ""
    assert heat({"temperature_c": 48.2, "throttled": []}) == "48 °C"
    assert heat({"temperature_c": "hot", "throttled": "\x1b"}) == ""
