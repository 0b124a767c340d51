"""A joined node's side of the wire, against a real gateway: through connections that break, with tokens that do not hold."""

from __future__ import annotations

import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cutting_proxy import CuttingProxy
from tests.unit.api.running_gateway import Gateway, png

from ocrfarm_shared.errors import BlobMissing
from ocrfarm_shared.keys import NewKey, Role
from ocrfarm_shared.ledger import calls, key_calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.nodes import JoinedNode, JoinRequest, farms_settings
from ocrfarm_shared.settings import SettingsError, read_settings
from ocrfarm_worker.joined import agent, memo
from ocrfarm_worker.joined.cache import Cache
from ocrfarm_worker.joined.link import Away, Link, Refused
from ocrfarm_worker.joined.memo import Memo
from ocrfarm_worker.joined.uploads import OverHttp
from ocrfarm_worker.uploads import NotHeld, NotNow

REDIS = "redis://worker:secret@127.0.0.1:6379/0"


class Node:
    """A gateway with one unit in the hands of the node `pi-1`."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self.gateway, self.folder = gateway, folder
        made = gateway.ledger(key_calls.create_key(NewKey(roles=(Role.NODE,))))
        user = gateway.ledger(key_calls.create_key(NewKey(tenant="ann")))
        assert made is not None
        assert user is not None
        self.token, self.key_id = made.key, made.id
        gateway.http.headers["X-API-Key"] = user.key
        self.proxy = CuttingProxy(gateway.port)
        self.waits: list[float] = []
        self.links: list[Link] = []
        self.uploads = self.new_uploads()
        self.links[0].join(JoinRequest(id="pi-1"))

    def new_uploads(self) -> OverHttp:
        self.links.append(Link(self.proxy.url, self.token))
        return OverHttp(self.links[-1], Cache(self.folder / "uploads", 10**9), sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        time.sleep(seconds / 20)

    def hold(self, document: bytes) -> ClaimedUnit:
        assert self.gateway.submit(document).status_code == 202
        unit = self.gateway.claim()
        self.gateway.ledger.redis.hset(f"{self.gateway.settings.namespace}:unit:{unit.unit}", "node", "pi-1")
        return unit


@pytest.fixture
def node(tmp_path: Path, redis_url: str, namespace: str) -> Iterator[Node]:
    state = tmp_path / "state"
    conf = read_settings({}, state=state, redis_url=redis_url, namespace=namespace, node_redis_url=REDIS)
    gateway = Gateway(conf).start()
    made = Node(gateway, tmp_path)
    yield made
    for link in made.links:
        link.close()
    made.proxy.close()
    gateway.stop()


def test_a_document_comes_once_and_is_read_again_from_the_disk(node: Node) -> None:
    document = png(b"x" * 3_000_000)
    unit = node.hold(document)
    with node.uploads.held(unit) as path:
        assert path.read_bytes() == document
    node.gateway.app.state.farm.blobs.remove(unit.blob)
    with node.uploads.held(unit) as path:
        assert path.read_bytes() == document


def test_a_connection_that_breaks_is_gone_on_with(node: Node) -> None:
    """Each brings a megabyte of three and a half: four connections bring the whole, if none begins anew."""
    document = png(bytes(range(250)) * 14_000)
    unit = node.hold(document)
    node.proxy.most = 1_000_000
    node.uploads = node.new_uploads()
    with node.uploads.held(unit) as path:
        assert path.read_bytes() == document
    assert 4 <= node.proxy.taken - 1 <= 6


def test_a_gateway_that_is_away_gives_the_page_back(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocrfarm_worker.joined.uploads.PATIENCE_S", 0.5)
    unit = node.hold(png())
    node.proxy.close()
    node.uploads = node.new_uploads()
    with pytest.raises(NotNow, match=r"does not answer|broke off"), node.uploads.held(unit):
        pass
    assert node.waits[:2] == [0.2, 0.4]
    with pytest.raises(NotNow):
        node.uploads.keep(unit, b"x")


def test_a_deleted_job_ends_cleanly_and_a_lost_file_is_said(node: Node) -> None:
    unit = node.hold(png())
    node.gateway.app.state.farm.blobs.remove(unit.blob)
    with pytest.raises(BlobMissing), node.uploads.held(unit):
        pass
    (job,) = node.gateway.ledger(calls.list_jobs("ann")).ids
    assert node.gateway.http.delete(f"/v1/jobs/{job}").status_code == 204
    with pytest.raises(NotHeld), node.uploads.held(unit):
        pass
    assert node.waits == []


def test_a_file_that_is_damaged_in_the_store_is_said(node: Node) -> None:
    unit = node.hold(png(b"x" * 100))
    path = node.gateway.app.state.farm.blobs.path(unit.blob)
    path.write_bytes(path.read_bytes()[:-1] + b"y")
    with pytest.raises(BlobMissing, match="damaged"), node.uploads.held(unit):
        pass


def test_a_revoked_token_gives_the_page_back_at_once(node: Node) -> None:
    unit = node.hold(png())
    node.gateway.ledger(key_calls.revoke_key(node.key_id))
    with pytest.raises(NotNow, match="refuses this node"), node.uploads.held(unit):
        pass
    assert node.waits == []
    with pytest.raises(Refused, match="revoked"):
        node.links[0].join(JoinRequest(id="pi-1"))


def test_what_is_no_farm(node: Node) -> None:
    for url in ("10.0.0.1:8000", "ftp://x", "http://", "http://x:y"):
        with pytest.raises(Refused, match="no address"):
            Link(url, "t")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with Link(f"http://127.0.0.1:{port}", "t") as link, pytest.raises(Away, match="does not answer"):
        link.join(JoinRequest(id="pi-1"))


# ---------------------------------------------------------------------------------------------------- what it knows


def test_what_it_learned_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    first = memo.recall(tmp_path)
    assert first.id != memo.recall(tmp_path).id  # two machines of one name
    told = JoinedNode(id=first.id, version="1", time=1, redis_url=REDIS, settings=farms_settings(read_settings({})))
    memo.remember(tmp_path, first.model_copy(update={"told": told, "token": "t"}))
    assert stat.S_IMODE((tmp_path / "node.json").stat().st_mode) == 0o600
    assert memo.recall(tmp_path).told == told
    (tmp_path / "node.json").write_text("half a fi")
    assert memo.recall(tmp_path).told is None
    with (
        memo.alone(tmp_path),
        pytest.raises(SettingsError, match="Another node runs in"),
        memo.alone(tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("told", "own", "wanted"),
    [
        (REDIS, None, REDIS),
        (REDIS, "redis://127.0.0.1:7777", "redis://worker:secret@127.0.0.1:7777/0"),
        (REDIS, "rediss://tunnel:7777/3", "rediss://worker:secret@tunnel:7777/3"),
        ("redis://10.0.0.1/0", "redis://10.0.0.2/0", "redis://10.0.0.2/0"),
    ],
)
def test_the_near_end_of_a_tunnel(told: str, own: str | None, wanted: str) -> None:
    assert agent.address(told, own) == wanted


@pytest.mark.parametrize(
    ("farm", "redis", "fine"),
    [
        ("http://10.0.0.1:8000", "redis://u:p@127.0.0.1:6379/0", False),
        ("http://farm.example.org", "redis://u:p@[::1]:6379/0", False),
        ("http://127.0.0.1:8000", "redis://u:p@127.0.0.1:6379/0", True),
        ("http://10.0.0.1:8000", "redis://u:p@10.0.0.1:6379/0", True),
        ("http://10.0.0.1:8000", "redis://redis:6379/0", True),
    ],
)
def test_a_redis_on_the_farms_loopback_is_said_to_be_out_of_reach(farm: str, redis: str, fine: bool) -> None:
    said = agent.unreachable(farm, redis)
    assert (said is None) == fine
    assert fine or "OCRFARM_REDIS_HOST" in str(said)


def test_the_farms_settings_and_its_own(tmp_path: Path) -> None:
    farm = read_settings(
        {}, lease_s=30, hard_time_limit_s=300, visibility_timeout_s=400, flower=False, preload="accurate"
    )
    own = read_settings(
        {}, state=tmp_path, workers=3, lease_s=20, redis_url="redis://127.0.0.1:7777", redis_password="x", log_level="DEBUG",
        node_cache_mb=77,
    )  # fmt: skip
    told = JoinedNode(
        id="pi-1", version="9", time=1, redis_url=REDIS, settings=farms_settings(farm) | {"of_a_later_release": "1"}
    )
    known = Memo(id="pi-1", url="http://10.0.0.1:8000", token="t", told=told)
    got = agent.settings_of(own, known, told)
    assert (got.lease_s, got.hard_time_limit_s, got.flower, got.preload) == (30, 300, False, "accurate")
    assert (got.workers, got.state, got.log_level, got.node_cache_mb) == (3, tmp_path, "DEBUG", 77)
    assert (got.node, got.join_url, got.node_token) == ("pi-1", "http://10.0.0.1:8000", "t")
    assert got.broker_url == "redis://worker:secret@127.0.0.1:7777/0"
    mine = own.model_copy(update={"preload": "fast"})
    assert agent.settings_of(mine, known, told).preload == "fast"
    assert agent.models_of(agent.settings_of(mine, known, told)) == ["crnn-en"] or "fast" in mine.preload
