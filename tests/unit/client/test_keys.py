"""`ocrfarm keys`, as a person calls it, at the farm's own Redis."""

from __future__ import annotations

import subprocess
import sys

from tests.unit.client.conftest import Gateway

from ocrfarm_shared.ledger import Ledger, key_calls
from ocrfarm_shared.settings import Settings


def ocrfarm(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ocrfarm", "keys", *words],
        env=settings.child_environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_what_was_revoked_is_told_apart_from_what_was_not(farm_settings: Settings) -> None:
    made = ocrfarm(farm_settings, "create", "--tenant", "accounting", "--quiet")
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    unknown = "0" * 16
    done = ocrfarm(farm_settings, "revoke", unknown, "nonsense", key)
    assert done.returncode == 1
    assert done.stdout == f"{key.split('_')[1]}: revoked\n"
    assert done.stderr.splitlines() == [
        f"{unknown}: there is no such key",
        "'nonsense': no key and no key's id; `ocrfarm keys list` shows the ids",
    ]
    assert "No such keys" in ocrfarm(farm_settings, "list").stdout


def test_revoking_the_last_key_says_that_the_farm_stays_closed(farm_settings: Settings) -> None:
    keys = [ocrfarm(farm_settings, "create", "--tenant", "accounting", "--quiet").stdout.strip() for _ in range(2)]
    assert "No key is left" not in ocrfarm(farm_settings, "revoke", keys[0]).stderr
    assert "No key is left" in ocrfarm(farm_settings, "revoke", keys[1]).stderr


def test_a_farm_is_opened_again_on_purpose_and_not_while_a_key_is_there(farm_settings: Settings) -> None:
    key = ocrfarm(farm_settings, "create", "--tenant", "accounting", "--quiet").stdout.strip()
    refused = ocrfarm(farm_settings, "open", "--yes")
    assert refused.returncode != 0
    assert "has 1 key" in refused.stderr
    assert ocrfarm(farm_settings, "revoke", key).returncode == 0
    unsure = ocrfarm(farm_settings, "open")  # nobody at a terminal who could say yes
    assert unsure.returncode != 0
    assert "Nothing was changed" in unsure.stderr
    assert asks_for_keys(farm_settings)
    opened = ocrfarm(farm_settings, "open", "--yes")
    assert opened.returncode == 0, opened.stderr
    assert "every user and program of this machine" in opened.stdout
    assert not asks_for_keys(farm_settings)
    assert ocrfarm(farm_settings, "create", "--tenant", "accounting", "--quiet").returncode == 0
    assert asks_for_keys(farm_settings)


def asks_for_keys(settings: Settings) -> bool:
    ledger = Ledger.open(settings)
    try:
        return ledger(key_calls.find_key(None)).keys_on
    finally:
        ledger.close()


def test_the_first_key_is_shown_when_it_is_made_over_http(gateway: Gateway) -> None:
    """From that moment on the farm asks for a key, also the command that has just made it."""
    done = subprocess.run(
        [sys.executable, "-m", "ocrfarm", "keys", "create", "--tenant", "me", "--url", gateway.url],
        env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ocr_")
    assert "first one" in done.stderr
