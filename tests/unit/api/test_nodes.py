"""Nodes over HTTP: who may join and what he is told, what a node may fetch and bring, and drain."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.api.running_gateway import Gateway, png

from ocrfarm_shared.artefacts import Artefact, made_content
from ocrfarm_shared.keys import MadeKey, NewKey, Role
from ocrfarm_shared.ledger import artefact_calls, calls, key_calls, node_calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.nodes import FARMS_SETTINGS, JoinedNode
from ocrfarm_shared.settings import read_settings

REDIS = "redis://worker:secret@10.9.8.7:6379/0"


class Farm:
    """A gateway that nodes can join, and its clients by role."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.clients: list[httpx.Client] = []
        self.node_key = self.key(Role.NODE)
        self.node, self.admin = self.client(self.node_key), self.client(self.key(Role.ADMIN))
        self.user = self.client(self.key(Role.SUBMIT, Role.READ))

    def key(self, *roles: Role, tenant: str = "default") -> MadeKey:
        made = self.gateway.ledger(key_calls.create_key(NewKey(tenant=tenant, roles=roles)))
        assert made is not None
        return made

    def client(self, key: MadeKey) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key.key}"}
        made = httpx.Client(base_url=self.gateway.url, headers=headers, timeout=30, trust_env=False)
        self.clients.append(made)
        return made

    def claim(self, node: str = "pi-1") -> ClaimedUnit:
        """The next published unit, claimed as a process of that node does."""
        unit = self.gateway.claim()
        self.gateway.ledger.redis.hset(f"{self.gateway.settings.namespace}:unit:{unit.unit}", "node", node)
        return unit

    def page(self, document: bytes, node: str = "pi-1") -> ClaimedUnit:
        answer = self.user.post("/v1/jobs", files={"file": ("a.png", document)})
        assert answer.status_code == 202, answer.text
        return self.claim(node)


@pytest.fixture
def farm(make_gateway: Callable[..., Gateway]) -> Iterator[Farm]:
    made = Farm(make_gateway(node_redis_url=REDIS, hard_time_limit_s=90, soft_time_limit_s=80, dpi=150))
    yield made
    for client in made.clients:
        client.close()


def join(client: httpx.Client, node: str = "pi-1", **more: Any) -> httpx.Response:
    return client.post("/v1/nodes/join", json={"id": node, "version": "0.1.0", "machine": "aarch64", **more})


def fetch(client: httpx.Client, unit: ClaimedUnit, token: int | None = None, **more: Any) -> httpx.Response:
    return client.get(f"/v1/nodes/units/{unit.unit}/upload", params={"token": token or unit.token}, **more)


# ---------------------------------------------------------------------------------------------------- joining


def test_a_node_is_told_what_it_needs_and_no_more(farm: Farm) -> None:
    answer = join(farm.node, shoe_size=43)  # a later release may say more
    assert answer.status_code == 200, answer.text
    told = JoinedNode.model_validate_json(answer.content)
    assert (told.id, told.redis_url) == ("pi-1", REDIS)
    assert set(told.settings) == set(FARMS_SETTINGS)
    assert (told.settings["hard_time_limit_s"], told.settings["dpi"], told.settings["flower"]) == ("90.0", "150", "1")
    read_settings({}, **told.settings)  # as a node reads them
    assert farm.gateway.settings.state.name not in answer.text
    assert answer.headers["cache-control"] == "no-store"


def test_a_farm_that_does_not_say_how_its_redis_is_reached(make_gateway: Callable[..., Gateway]) -> None:
    farm = Farm(make_gateway())
    answer = join(farm.node)
    assert (answer.status_code, answer.json()["code"]) == (409, "cannot_join")
    assert "OCRFARM_REDIS_HOST" in answer.json()["detail"]
    assert "OCRFARM_NODE_REDIS_URL" in answer.json()["detail"]
    for client in farm.clients:
        client.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"id": "a b"}', 422),
        (b'{"id": "../x"}', 422),
        (b"{}", 422),
        (b"[", 422),
        (b'{"id": "a", "version": "' + b"x" * 20_000 + b'"}', 413),
    ],
)
def test_what_is_no_joining(farm: Farm, body: bytes, status: int) -> None:
    assert farm.node.post("/v1/nodes/join", content=body).status_code == status


def test_a_name_is_its_nodes_until_its_token_is_revoked(farm: Farm) -> None:
    other = farm.client(farm.key(Role.NODE))
    assert join(farm.node).status_code == join(farm.node).status_code == 200
    assert join(other).json()["code"] == "cannot_join"
    assert join(other, "pi-2").status_code == 200
    assert farm.gateway.ledger(key_calls.revoke_key(farm.node_key.id))
    assert join(other).status_code == 200
    assert join(farm.node).status_code == 401


def test_a_revoked_tokens_nodes_hold_no_places(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stole one may join under as many names as there are places."""
    monkeypatch.setattr(node_calls, "MOST_NODES", 5)
    assert [join(farm.node, f"stolen-{n}").status_code for n in range(6)] == [200] * 5 + [409]
    honest = farm.client(farm.key(Role.NODE))
    assert join(honest).json()["code"] == "cannot_join"
    assert farm.gateway.ledger(key_calls.revoke_key(farm.node_key.id))
    assert join(honest).status_code == 200
    assert {node["name"] for node in farm.admin.get("/v1/nodes").json()["nodes"]} == {"pi-1"}


# ---------------------------------------------------------------------------------------------------- uploads


def test_the_upload_of_a_unit_that_it_holds_and_no_other(farm: Farm) -> None:
    join(farm.node)
    document = png(b"a document" * 1000)
    unit = farm.page(document)
    answer = fetch(farm.node, unit)
    assert (answer.status_code, answer.content) == (200, document)
    part = fetch(farm.node, unit, headers={"Range": "bytes=100-"})
    assert (part.status_code, part.content) == (206, document[100:])
    for stranger in (unit.token + 1, unit.token + 2):
        assert fetch(farm.node, unit, stranger).status_code == 404
    for name in ("run_x:1", "run_" + "0" * 32 + ":1", unit.run_id, "../../etc:1"):
        assert farm.node.get(f"/v1/nodes/units/{name}/upload", params={"token": unit.token}).status_code == 404
    assert fetch(farm.user, unit).status_code == 403
    assert fetch(farm.admin, unit).status_code == 403
    assert farm.gateway.ledger(calls.finish_page(unit.unit, unit.token, _page(unit)))
    assert fetch(farm.node, unit).status_code == 404  # it is not in flight any more


def test_another_tokens_node_and_one_that_never_joined(farm: Farm) -> None:
    join(farm.node)
    other = farm.client(farm.key(Role.NODE))
    join(other, "pi-2")
    unit = farm.page(png())
    assert fetch(other, unit).status_code == 404
    assert fetch(farm.node, farm.page(png(), node="vm")).status_code == 404


def test_a_revoked_token_fetches_nothing(farm: Farm) -> None:
    join(farm.node)
    unit = farm.page(png())
    assert fetch(farm.node, unit).status_code == 200
    assert farm.admin.delete(f"/v1/keys/{farm.node_key.id}").status_code == 204
    assert fetch(farm.node, unit).status_code == 401


def test_a_deleted_job_and_a_file_that_is_gone(farm: Farm) -> None:
    join(farm.node)
    unit = farm.page(png())
    farm.gateway.app.state.farm.blobs.remove(unit.blob)
    assert (fetch(farm.node, unit).status_code, fetch(farm.node, unit).json()["code"]) == (410, "blob_missing")
    (job,) = farm.user.get("/v1/jobs").json()["jobs"]
    assert farm.user.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert (fetch(farm.node, unit).status_code, fetch(farm.node, unit).json()["code"]) == (404, "not_found")


def _page(unit: ClaimedUnit) -> Any:
    from tests.unit.api.running_gateway import a_page

    return a_page(unit.number, "x")


# ---------------------------------------------------------------------------------------------------- what it made


def digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def bring(client: httpx.Client, unit: ClaimedUnit, body: bytes, said: str | None = None) -> httpx.Response:
    headers = {"Content-Digest": said} if said else {}
    return client.put(f"/v1/nodes/units/{unit.unit}/made", params={"token": unit.token}, content=body, headers=headers)


def test_what_it_made_comes_back_whole_or_not_at_all(farm: Farm) -> None:
    join(farm.node)
    job = farm.user.post("/v1/jobs", files={"file": png()}).json()["id"]
    page = farm.claim()
    body = b"a picture" * 10_000
    assert bring(farm.node, page, body, digest(body)).status_code == 422  # a page's result goes to the ledger
    farm.gateway.ledger(calls.finish_page(page.unit, page.token, _page(page)))
    assert farm.user.get(f"/v1/jobs/{job}/image").status_code == 202
    unit = farm.claim()
    assert unit.kind == "artefact"
    store: Path = farm.gateway.app.state.farm.blobs.folder
    before = sorted(store.rglob("*"))
    assert bring(farm.node, unit, body).status_code == 422
    assert bring(farm.node, unit, body[:-1], digest(body)).json()["code"] == "bad_option"
    assert bring(farm.user, unit, body, digest(body)).status_code == 403
    assert sorted(store.rglob("*")) == before
    answer = bring(farm.node, unit, body, digest(body))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"blob": f"default/{made_content(unit.unit, unit.token)}"}
    assert bring(farm.node, unit, body, digest(body)).status_code == 200  # sent again, as after a lost answer
    assert farm.gateway.ledger(artefact_calls.made(unit.unit, unit.token, answer.json()["blob"], len(body)))
    assert farm.user.get(f"/v1/jobs/{job}/image").content == body
    assert bring(farm.node, unit, body, digest(body)).status_code == 404
    assert Artefact.of(unit.name).form == "jpeg"


# ---------------------------------------------------------------------------------------------------- drain


def test_nodes_are_listed_drained_and_back(farm: Farm) -> None:
    join(farm.node)
    farm.gateway.hire("vm:1", node="vm", host={"temperature_c": 61.5, "throttled": ["throttled"]})
    listed = farm.admin.get("/v1/nodes").json()["nodes"]
    assert [(n["name"], n["state"], n["slots"], n["info"]["joined"]) for n in listed] == [
        ("pi-1", "away", 0, True),
        ("vm", "serving", 1, False),
    ]
    assert listed[0]["seen_at"] > 0
    assert (listed[1]["info"]["temperature_c"], listed[1]["info"]["throttled"]) == (61.5, ["throttled"])
    assert farm.user.get("/v1/nodes").status_code == 200
    assert farm.user.post("/v1/nodes/vm/drain").status_code == 403
    assert farm.admin.post("/v1/nodes/nobody/drain").status_code == 404
    assert farm.admin.post("/v1/nodes/a%20b/drain").status_code == 404
    assert (
        farm.admin.post("/v1/nodes/vm/drain").json()["state"] == "draining"
    )  # it has not heard of it: it may have taken a page since
    farm.gateway.hire("vm:1", node="vm", reading="run_x:1")
    assert [n["state"] for n in farm.admin.get("/v1/farm").json()["nodes"]] == ["draining"]
    farm.gateway.hire("vm:1", node="vm")
    assert [n["state"] for n in farm.admin.get("/v1/farm").json()["nodes"]] == ["drained"]
    assert farm.admin.get("/v1/farm").json()["slots"] == 0
    assert farm.admin.post("/v1/nodes/vm/undrain").json()["state"] == "serving"
    farm.gateway.hire("vm:1", node="vm")
    assert farm.admin.get("/v1/farm").json()["slots"] == 1
