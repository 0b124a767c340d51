"""How quickly the gateway answers: POST to 202 with different 1 MB files at a steady rate, workers stopped; then cache hits.

    python -m tests.bench.latency [--rate 50] [--seconds 20]

Open-loop: requests leave on the clock, so that a slow answer does not slow the load. The load comes from a process of its own over kept
connections. Writes JSON (milliseconds) to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import tempfile
import time
import uuid
from pathlib import Path

import psutil

from tests.documents import raw_png
from tests.running_farm import RunningFarm


def png_of(size: int) -> bytes:
    """A valid PNG of about `size` bytes of noise, no two alike."""
    side = int((size / 3) ** 0.5)
    rows = b"".join(b"\0" + os.urandom(side * 3) for _ in range(side))
    return raw_png(side, side, [rows], colour=2, level=0)


def body_of(image: bytes, cache: str) -> tuple[bytes, str]:
    mark = uuid.uuid4().hex
    head = (
        f'--{mark}\r\nContent-Disposition: form-data; name="cache"\r\n\r\n{cache}\r\n'
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="n.png"\r\nContent-Type: image/png\r\n\r\n'
    )
    return head.encode() + image + f"\r\n--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


class Connection:
    """One kept HTTP/1.1 connection, written by hand: a client library would cost as much as the gateway that is measured."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes, kind: str) -> tuple[int, bytes]:
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode())
        writer.write(body)
        await writer.drain()
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = int(re.search(r"(?i)content-length: *(\d+)", answer)[1])  # type: ignore[index]  # the header is always there
        return int(answer.split(" ", 2)[1]), await reader.readexactly(length)


async def load(port: int, rate: float, bodies: list[tuple[bytes, str]], expect: int) -> list[float]:
    """Milliseconds from the moment a request was due to its whole answer, in the order in which they were due."""
    free = [Connection(port) for _ in range(8)]
    out = [0.0] * len(bodies)

    async def one(n: int, start: float) -> None:
        due = start + n / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        connection = free.pop() if free else Connection(port)
        status, answer = await connection.post(*bodies[n])
        free.append(connection)
        out[n] = (time.perf_counter() - due) * 1000
        if status != expect:
            raise RuntimeError(f"{status}: {answer[:300]!r}")

    start = time.perf_counter() + 0.2
    await asyncio.gather(*(one(n, start) for n in range(len(bodies))))
    return out


def figures(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    return {
        "n": len(values),
        "p50_ms": at(0.5),
        "p95_ms": at(0.95),
        "p99_ms": at(0.99),
        "max_ms": round(ordered[-1], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    count = int(arguments.rate * arguments.seconds)
    noise = png_of(1_000_000)
    # The same noise with its own last bytes: different content, made without spending the load process's time.
    bodies = [body_of(noise[:-40] + os.urandom(12) + noise[-28:], "use") for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder, RunningFarm(Path(folder) / "s", workers=1) as farm:
        # A page that can be read, for the cache.
        known = png_of(1_000_000)
        farm.wait([farm.submit(known, name="n.png")])
        stopped = [psutil.Process(farm.pid("worker")), *farm.worker_children()]
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        asyncio.run(load(farm.port, arguments.rate, bodies[:50], 202))
        posts = asyncio.run(load(farm.port, arguments.rate, bodies[50:], 202))
        hits = asyncio.run(load(farm.port, arguments.rate, [body_of(known, "use") for _ in range(200)], 200))
        for process in stopped:
            process.send_signal(signal.SIGCONT)
        print(
            json.dumps({"POST to 202, 1 MB, all different": figures(posts), "cache hit, 1 MB": figures(hits)}, indent=1)
        )


if __name__ == "__main__":
    main()
