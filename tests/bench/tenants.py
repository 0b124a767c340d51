"""Tenants of a benchmark's farm: a key for each, made as a person makes one."""

from __future__ import annotations

import subprocess
import sys

from tests.running_farm import ROOT, RunningFarm


def tenant_headers(farm: RunningFarm, tenant: str, *roles: str) -> dict[str, str]:
    """What a request of that tenant carries: a new key with these roles (submit and read), and a quota that hinders nobody here.

    From the first key on everybody needs one; `farm.http` too.
    """
    made = subprocess.run(
        [
            *(sys.executable, "-m", "ocrfarm", "keys", "create", "--tenant", tenant, "--quiet"),
            *(part for role in roles for part in ("--role", role)),
            *("--jobs-per-minute", "1000000", "--queued", "1000000", "--mb-per-day", "1000000"),
        ],
        env=farm.environment, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {"X-API-Key": made.stdout.strip()}
