"""Batches and webhooks while the farm's parts are killed by chance: what the headline run does to single jobs."""

from __future__ import annotations

import io
import json
import re
import sys
import time
import zipfile
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ocrfarm_api.hook_signing import signed, tenant_secret
from tests.faults.headline.killer import Killer
from tests.faults.pages import idle, quick, until
from tests.running_farm import RunningFarm
from tests.unit.api.receiver import Receiver

pytestmark = [pytest.mark.farm, pytest.mark.slow, pytest.mark.timeout(900)]

SECRET = "a secret that is long enough"
SEED, KILLS, PAUSE_S = 20261128, 10, 3.0
BATCHES, FILES = 4, 12
ENDED = ("succeeded", "partial", "failed", "cancelled", "refused")


def insist(send: Callable[[], httpx.Response]) -> httpx.Response:
    """As a client does: through gateways that die and a farm that is away, until it is answered."""
    limit = time.monotonic() + 300
    while True:
        try:
            answer = send()
            if answer.status_code not in (429, 503):
                return answer
        except httpx.TransportError:
            pass
        assert time.monotonic() < limit
        time.sleep(0.3)


def numbered(batch: int) -> list[tuple[str, bytes]]:
    """Pages that say their number, one file that is nothing, and one page of them twice under another name."""
    pages = [(f"{n}.png", quick(f"Page number {100 + batch * FILES + n}")) for n in range(FILES)]
    return [*pages, ("nothing.txt", b"no document"), ("again.png", pages[0][1])]


def zipped(files: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files:
            archive.writestr(name, content)
    return out.getvalue()


def send(farm: RunningFarm, receiver: Receiver, number: int) -> str:
    """Open a batch, fill it in three requests, each repeated until it is answered, and close it; its address."""
    options = {"webhook": f"http://127.0.0.1:{receiver.port}/batch{number}", "tag": f"batch{number}"}
    opened = insist(lambda: farm.http.post("/v1/batches", json=options, headers={"Idempotency-Key": f"open {number}"}))
    assert opened.status_code == 202, opened.text
    here = str(opened.json()["links"]["self"])
    files = numbered(number)
    for part in range(2):
        some = [("file", file) for file in files[part::2]]
        key = {"Idempotency-Key": f"files {number} {part}"}
        for _ in range(2):  # said twice, it adds nothing
            added = insist(lambda some=some, key=key: farm.http.post(f"{here}/files", files=some, headers=key))
            assert added.status_code == 202, added.text
    body = zipped([("in/z.png", quick(f"Page number {900 + number}")), ("in/notes.txt", b"text")])
    key = {"Idempotency-Key": f"zip {number}", "Content-Type": "application/zip"}
    assert insist(lambda: farm.http.post(f"{here}/files", content=body, headers=key)).status_code == 202
    assert insist(lambda: farm.http.post(f"{here}/close")).status_code == 202
    return here


def test_batches_and_their_webhooks(start_farm: Callable[..., RunningFarm]) -> None:
    receiver = Receiver()
    farm = start_farm(webhook_hosts="127.0.0.1", webhook_secret=SECRET)
    killer = Killer(farm, KILLS, PAUSE_S, SEED, lambda said: print(said, file=sys.stderr))
    killer.start()
    sent = [send(farm, receiver, number) for number in range(BATCHES)]
    killer.join(300)
    assert killer.error is None
    assert not killer.is_alive()
    until(lambda: all(ended(farm, here) for here in sent), 300, "a batch never ended")
    for number, here in enumerate(sent):
        check(farm, here, number)
    until(lambda: len({path for path, _, _ in receiver.got}) == BATCHES, 120, "a webhook never came")
    for path, headers, body in list(receiver.got):  # at least once each, always the same and signed
        told = json.loads(body)
        assert path == f"/batch{sent.index(told['links']['self'])}"
        assert told["state"] == "partial"
        own = signed(tenant_secret(SECRET, "default"), told["id"], int(headers["webhook-timestamp"]), body)
        assert headers["webhook-signature"] == own["webhook-signature"]
    until(lambda: all(hook_state(farm, here) == "delivered" for here in sent), 60, "a delivery was not noted")
    receiver.close()
    assert idle(farm)


def ended(farm: RunningFarm, here: str) -> bool:
    return farm.http.get(here, params={"wait": 20}).json()["state"] not in ("open", "running")


def hook_state(farm: RunningFarm, here: str) -> Any:
    return (farm.http.get(here).json()["webhook"] or {}).get("state")


def check(farm: RunningFarm, here: str, number: int) -> None:
    """Every file is an item once, its text is its own, and the counts are those of the items."""
    view = insist(lambda: farm.http.get(here)).json()
    items = farm.http.get(f"{here}/jobs", params={"limit": 200}).json()["items"]
    names = sorted(item["filename"] for item in items)
    assert names == sorted([name for name, _ in numbered(number)] + ["in/z.png", "in/notes.txt"])
    counts = view["counts"]
    assert counts["total"] == sum(counts[state] for state in ENDED) == FILES + 4, counts
    assert counts["refused"] == 2
    lost = [item for item in items if item["state"] == "failed" and item["error"]["code"] == "worker_lost"]
    assert counts["succeeded"] == FILES + 2 - len(lost), (counts, items)  # a process may be killed three times
    order = farm.http.get(f"{here}/jobs", params={"order": "ended", "limit": 200}).json()["items"]
    assert sorted(item["number"] for item in order) == [*range(1, FILES + 5)], "an item ended twice, or never"
    lines = farm.http.get(f"{here}/results").text.splitlines()
    texts = {row["filename"]: row["document"]["text"] for row in map(json.loads, lines) if row["document"]}
    for name, text in texts.items():
        said = 900 + number if name == "in/z.png" else 100 + number * FILES
        said += int(found[1]) if (found := re.fullmatch(r"(\d+)\.png", name)) else 0
        assert text.split()[-1] == str(said), (name, text)
