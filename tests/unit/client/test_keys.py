"""`ocrfarm keys`, as a person calls it, at the farm's own Redis."""

from __future__ import annotations

import subprocess
import sys

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
