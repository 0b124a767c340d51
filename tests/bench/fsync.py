"""What `OCRFARM_REDIS_FSYNC=always` costs against `everysec`: submissions a second into the ledger, both on this disk, taking turns.

    python -m tests.bench.fsync [--folder .ocrfarm/bench] [--seconds 3] [--rounds 5]

One client that waits for each answer pays one fsync a submission under `always`; sixteen at once share them, because Redis writes its
file once for all that came in one turn of its loop. Each round runs both settings, one after the other in changing order, and gives one
ratio; the median of the rounds is the figure. Writes JSON to standard output.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from ocrfarm.farm.children import Child, Program
from ocrfarm.farm.embedded_redis import EmbeddedRedis, find_server
from ocrfarm_shared.contracts import CacheMode, Submission
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.settings import Settings, read_settings
from tests.running_farm import free_port

MODES = ("everysec", "always")
CLIENTS = (1, 16)


def started(folder: Path, fsync: str, stack: ExitStack) -> Settings:
    """An embedded Redis as `ocrfarm up` starts it; settings that reach it as the gateway's user."""
    redis = EmbeddedRedis.prepare(find_server(), folder, free_port(), 1024, fsync=fsync)
    child = Child(Program("redis", redis.argv, {}), folder / "redis.log")
    child.start()
    stack.callback(child.end)
    redis.wait(child)
    return read_settings(
        {}, redis_url=redis.url, redis_user="gateway", redis_password=redis.passwords["gateway"], max_queued=10_000_000
    )


def submits_a_second(settings: Settings, clients: int, seconds: float) -> float:
    """Every client sends one submission after the other, each of a page of its own."""
    done = [0] * clients
    end = time.monotonic() + seconds

    def client(n: int) -> None:
        ledger = Ledger.open(settings)
        while time.monotonic() < end:
            content = secrets.token_hex(32)
            upload = calls.Upload(f"default/{content}", "image/png", 1, plan=False)
            call = calls.submit(
                tenant="default",
                upload=upload,
                submission=Submission(cache=CacheMode.USE),
                cache_key=content,
                settings=settings,
            )
            if ledger(call).outcome != "new":
                raise RuntimeError("the submission was not taken")
            done[n] += 1
        ledger.close()

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    started_at = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.monotonic() - started_at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, help="on the disk that is to be measured [default: the temporary folder]"
    )
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    if chosen.folder:
        chosen.folder.mkdir(parents=True, exist_ok=True)
    out: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder, ExitStack() as stack:
        farms = {mode: started(Path(folder) / mode, mode, stack) for mode in MODES}
        for clients in CLIENTS:
            rates: dict[str, list[float]] = {mode: [] for mode in MODES}
            for turn in range(chosen.rounds):
                for mode in MODES if turn % 2 else reversed(MODES):
                    rates[mode].append(submits_a_second(farms[mode], clients, chosen.seconds))
            ratios = [always / everysec for everysec, always in zip(*(rates[m] for m in MODES), strict=True)]
            out[f"{clients} at once"] = {
                **{f"{mode}, submits a second": round(statistics.median(rates[mode]), 1) for mode in MODES},
                "always / everysec": round(statistics.median(ratios), 3),
                "of rounds": [round(ratio, 3) for ratio in ratios],
            }
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
