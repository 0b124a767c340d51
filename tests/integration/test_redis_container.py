"""The Redis that people run, REDIS_IMAGE on a real engine, under the ledger, its users and a whole farm. The other tests have a server of
their own build."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from ocrfarm_shared.keys import NewKey
from ocrfarm_shared.ledger import Ledger, key_calls
from ocrfarm_shared.redis_users import ADMIN
from tests.documents import png
from tests.e2e.compose_farm import need_engine
from tests.integration.redis_container import RedisContainer
from tests.running_farm import ROOT, RunningFarm
from tests.unit.shared.redis_with_users import LedgerByRole, Users
from tests.unit.shared.test_ledger_machine import Farm

pytestmark = [pytest.mark.farm, pytest.mark.slow, pytest.mark.timeout(900)]
SAMPLES = ROOT / "samples"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisContainer]:
    need_engine()
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisContainer(folder)
    server.start()
    yield server
    server.kill()


def test_a_farm_reads_with_it_and_outlives_its_death(server: RedisContainer, tmp_path: Path) -> None:
    with redis.Redis.from_url(server.url) as connection:
        version = tuple(int(n) for n in str(connection.info("server")["redis_version"]).split("."))
    assert version >= (6, 2)
    with RunningFarm(tmp_path / "state", redis_url=server.url, workers=1) as farm:
        pages = farm.submit(SAMPLES / "minutes.tiff")
        assert farm.wait([pages], timeout=300)[pages]["state"] == "succeeded"
        assert farm.text(pages) == (SAMPLES / "golden" / "minutes.tiff.txt").read_text("utf8").removesuffix("\n")
        jobs = {farm.submit(png(f"Written down as {n}")): n for n in range(101, 109)}
        server.kill()
        server.start()
        views = farm.wait(jobs, timeout=300)
        assert {view["state"] for view in views.values()} == {"succeeded"}
        assert {job: farm.text(job).split()[-1] for job in jobs} == {job: str(n) for job, n in jobs.items()}


def test_the_ledger_lives_on_the_rights_of_its_roles(server: RedisContainer) -> None:
    users = Users(server, "of")

    class ByRole(Farm):
        url = server.url

        def namespace(self) -> str:
            return users.namespace

        def open_ledger(self) -> Ledger:
            return LedgerByRole(users)

    short = settings(max_examples=5, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(ByRole, settings=short)
    assert users.denied() == []


def test_what_was_written_is_there_after_a_restart(server: RedisContainer) -> None:
    """Redis 7 reads its file as the user without a name, and leaves out what that one may not do."""
    users = Users(server, "of")
    ledger = LedgerByRole(users)
    made = ledger(key_calls.create_key(NewKey(tenant="ann")))
    assert made is not None
    ledger.close()
    server.kill()
    server.start(users.url(ADMIN))
    ledger = LedgerByRole(users)
    assert [key.id for key in ledger(key_calls.list_keys(tenant=None, limit=10)).keys] == [made.id]
    ledger.close()
