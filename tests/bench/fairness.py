"""One tenant's bulk and another's single pages: how long do the single ones wait?

    python -m tests.bench.fairness [--bulk 2000] [--seconds 40] [--every 1]

Tenant B sends one page a second, first to an idle farm, then while 2,000 pages of tenant A are queued, then so again with A's pages marked
`priority=bulk`. Measured is what B's program sees: from its POST (`wait=30`) to the read page. Writes JSON to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.asking import Asker, page, quantile
from tests.bench.tenants import tenant_headers
from tests.running_farm import RunningFarm

SENDERS = 4
FIELDS = {"layout": "page", "cache": "off"}
BULKS = {"bulk of the same priority": "normal", "bulk marked priority=bulk": "bulk"}
numbers = itertools.count(1)


def say(said: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {said}", file=sys.stderr, flush=True)


async def bulk(asker: Asker, pages: list[bytes], priority: str) -> None:
    """All of them, as quickly as the gateway takes them."""
    left = list(pages)

    async def send() -> None:
        while left:
            answer = await asker.submit(left.pop(), priority=priority, **FIELDS)
            if answer.status != 202:
                raise RuntimeError(f"{answer.status} {answer.error} {answer.body[:300]!r}")

    await asyncio.gather(*(send() for _ in range(SENDERS)))


async def singles(asker: Asker, seconds: float, every: float) -> list[float]:
    """Seconds that each page took, one sent every `every` seconds."""
    out: list[float] = []

    async def one(due: float) -> None:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        begun = time.perf_counter()
        answer = await asker.submit(page(next(numbers)), wait=60, priority="normal", **FIELDS)
        out.append(time.perf_counter() - begun)
        if answer.status != 200 or answer.json()["state"] != "succeeded":
            raise RuntimeError(f"{answer.status} {answer.error} {answer.body[:300]!r}")

    begun = time.perf_counter() + 0.1
    await asyncio.gather(*(one(begun + n * every) for n in range(int(seconds / every))))
    return out


def figures(values: list[float]) -> dict[str, Any]:
    return {
        "n": len(values), "p50_s": round(quantile(values, 0.5), 3), "p95_s": round(quantile(values, 0.95), 3),
        "max_s": round(max(values), 3),
    }  # fmt: skip


async def measure(farm: RunningFarm, made: list[bytes], arguments: argparse.Namespace) -> dict[str, Any]:
    say("the farm is ready")
    farm.http.headers.update(tenant_headers(farm, "watcher", "admin"))
    a, b = (Asker(farm.port, tenant_headers(farm, name)) for name in ("a", "b"))
    await singles(b, 6, 0.5)  # warm
    out: dict[str, Any] = {"idle farm": figures(await singles(b, arguments.seconds, arguments.every))}
    say(f"idle: {out['idle farm']}")
    for name, priority in BULKS.items():
        await bulk(a, made, priority)
        before, begun = _queued(farm), time.perf_counter()
        say(f"{before} pages of A wait")
        row = figures(await singles(b, arguments.seconds, arguments.every))
        after, took = _queued(farm), time.perf_counter() - begun
        if not after:
            raise RuntimeError("A's pages were over before B's; ask for a larger --bulk or fewer --seconds")
        row |= {
            "queued_before": before,
            "queued_after": after,
            "pages_per_s": round((before - after + row["n"]) / took, 2),
        }
        row["times_idle_p95"] = round(row["p95_s"] / out["idle farm"]["p95_s"], 2)
        out[name] = row
        say(f"{name}: {row}")
        await clear(farm, a)
    a.close()
    b.close()
    return out


def _queued(farm: RunningFarm) -> int:
    return int(farm.http.get("/v1/farm").json()["queued_units"])


async def clear(farm: RunningFarm, asker: Asker) -> None:
    """Cancel what A still has, and wait until the farm is idle."""
    cursor = ""
    while True:
        listing = (await asker.ask("GET", f"/v1/jobs?state=queued&limit=200{cursor}")).json()
        for job in listing["jobs"]:
            await asker.ask("POST", f"/v1/jobs/{job['id']}/cancel")
        if not listing.get("cursor"):
            break
        cursor = f"&cursor={listing['cursor']}"
    limit = time.monotonic() + 120
    while (state := farm.http.get("/v1/farm").json())["queued_units"] or state["running_units"]:
        if time.monotonic() > limit:
            raise TimeoutError(f"the farm is not idle: {state}")
        await asyncio.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bulk", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--every", type=float, default=1)
    arguments = parser.parse_args()
    made = [page(next(numbers)) for _ in range(arguments.bulk)]
    with tempfile.TemporaryDirectory() as folder, RunningFarm(Path(folder) / "s") as farm:
        print(json.dumps(asyncio.run(measure(farm, made, arguments)), indent=1))


if __name__ == "__main__":
    main()
