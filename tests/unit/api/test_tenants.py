"""Two tenants on one farm: over every route that the interface describes, nobody meets what is not theirs.

The routes are taken from the running gateway's own description, so that a new one which forgets its tenant or its key fails here.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from tests.unit.api.running_gateway import Gateway, png

from ocrfarm_api.main import create_app
from ocrfarm_shared.errors import WorkerLost
from ocrfarm_shared.keys import NewKey, Role
from ocrfarm_shared.ledger import calls, key_calls
from ocrfarm_shared.settings import read_settings

OPEN = {("GET", "/livez"), ("GET", "/readyz"), ("GET", "/health")}
DIALECTS = {
    "/ocr",
    "/api/ocr",
    "/predict",
}  # errors in other services' shapes; tests/unit/api/test_compat.py has two tenants there
NO_DOCUMENTS = {"/v1/profiles", "/v1/farm", "/v1/nodes", "/v1/nodes/join", "/metrics"}  # of the farm, the same for all
# What each route needs beside a key: the roles of which one is enough.
ROLES = {
    ("POST", "/v1/jobs"): {"submit"},
    ("GET", "/v1/jobs"): {"read"},
    ("GET", "/v1/jobs/{job_id}"): {"read"},
    ("DELETE", "/v1/jobs/{job_id}"): {"submit"},
    ("POST", "/v1/jobs/{job_id}/retry"): {"submit"},
    ("POST", "/v1/jobs/{job_id}/cancel"): {"submit"},
    ("GET", "/v1/jobs/{job_id}/result"): {"read"},
    ("GET", "/v1/jobs/{job_id}/pages"): {"read"},
    ("GET", "/v1/jobs/{job_id}/image"): {"read"},
    ("GET", "/v1/jobs/{job_id}/events"): {"read"},
    ("GET", "/v1/events"): {"read"},
    ("GET", "/v1/profiles"): {"submit", "read", "admin", "node"},
    ("GET", "/v1/farm"): {"read", "admin"},
    ("GET", "/v1/dead-letters"): {"read"},
    ("GET", "/v1/dead-letters/{job_id}"): {"read"},
    ("POST", "/v1/dead-letters/{job_id}/replay"): {"submit"},
    ("POST", "/v1/batches"): {"submit"},
    ("GET", "/v1/batches"): {"read"},
    ("GET", "/v1/batches/{batch_id}"): {"read"},
    ("DELETE", "/v1/batches/{batch_id}"): {"submit"},
    ("POST", "/v1/batches/{batch_id}/files"): {"submit"},
    ("POST", "/v1/batches/{batch_id}/close"): {"submit"},
    ("POST", "/v1/batches/{batch_id}/cancel"): {"submit"},
    ("GET", "/v1/batches/{batch_id}/jobs"): {"read"},
    ("GET", "/v1/batches/{batch_id}/events"): {"read"},
    ("GET", "/v1/batches/{batch_id}/results"): {"read"},
    ("GET", "/v1/webhooks/secret"): {"submit"},
    ("POST", "/v1/keys"): {"admin"},
    ("GET", "/v1/keys"): {"admin"},
    ("DELETE", "/v1/keys/{key_id}"): {"admin"},
    ("POST", "/v1/nodes/join"): {"node"},
    ("GET", "/v1/nodes"): {"read", "admin"},
    ("POST", "/v1/nodes/{node_id}/drain"): {"admin"},
    ("POST", "/v1/nodes/{node_id}/undrain"): {"admin"},
    ("GET", "/v1/nodes/units/{unit}/upload"): {"node"},
    ("PUT", "/v1/nodes/units/{unit}/made"): {"node"},
    ("GET", "/metrics"): {"read", "admin"},
    **{("POST", path): set() for path in DIALECTS},  # both submit and read: no role is enough alone
}


def an_app() -> FastAPI:
    with tempfile.TemporaryDirectory() as state:
        return create_app(read_settings({}, redis_url="redis://127.0.0.1:1", state=state))


def described() -> list[tuple[str, str]]:
    """(method, path) of everything that /openapi.json names."""
    paths = an_app().openapi()["paths"]
    return sorted((method.upper(), path) for path, methods in paths.items() for method in methods)


def about_a_job(path: str) -> bool:
    return "{job_id}" in path or path == "/v1/events"


ROUTES = described()
LOCKED = [route for route in ROUTES if route not in OPEN]


class Door:
    """A gateway with keys. `as_tenant` speaks with a key of all the roles of a user; `key` makes others."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.clients: list[httpx.Client] = []
        self.a, self.b = self.client(tenant="a"), self.client(tenant="b")
        self.nobody = httpx.Client(base_url=gateway.url, timeout=30, trust_env=False)
        self.clients.append(self.nobody)

    def key(self, **asked: object) -> str:
        made = self.gateway.ledger(key_calls.create_key(NewKey(**asked)))  # type: ignore[arg-type]  # fields by name, pydantic checks them
        assert made is not None
        return made.key

    def client(self, **asked: object) -> httpx.Client:
        headers = {"X-API-Key": self.key(**asked)}
        made = httpx.Client(base_url=self.gateway.url, headers=headers, timeout=30, trust_env=False)
        self.clients.append(made)
        return made

    def job_of_a(self) -> str:
        """A dead letter of tenant a with everything that a job can have: tag, attempts, a document."""
        answer = self.a.post("/v1/jobs", files={"file": ("secret.png", png())}, data={"tag": "mine"})
        assert answer.status_code == 202, answer.text
        self.gateway.fail(WorkerLost())
        return str(answer.json()["id"])

    def batch_of_a(self) -> str:
        """A batch that has ended, with a file that became no job."""
        sent = {"file": ("secret.png", b"no picture")}
        answer = self.a.post("/v1/batches", files=sent, data={"tag": "mine", "close": "true"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])


@pytest.fixture
def door(make_gateway: Callable[..., Gateway]) -> Iterator[Door]:
    made = Door(make_gateway(webhook_secret="of the farm, and of no tenant", webhook_hosts="hooks.example.org"))
    yield made
    for client in made.clients:
        client.close()


NEVER = "0" * 32


def send(client: httpx.Client, method: str, path: str, job_id: str, batch_id: str = f"batch_{NEVER}") -> httpx.Response:
    """The request that the route takes, about that job or batch."""
    names = {"key_id": "0" * 16, "node_id": "pi-1", "unit": f"run_{NEVER}:1"}
    where = path.format(job_id=job_id, batch_id=batch_id, **names) + ("?token=1" if "{unit}" in path else "")
    assert "{" not in where, f"say here what {path} is about"
    if (method, path) in {("POST", "/v1/jobs"), ("POST", "/v1/batches/{batch_id}/files")}:
        return client.post(where, files={"file": png()})
    if path == "/v1/events":
        return client.get(where, params={"jobs": job_id})
    if (method, path) == ("POST", "/v1/nodes/join"):
        return client.post(where, json={"id": "pi-1"})
    if (method, path) == ("POST", "/v1/keys"):
        return client.post(where, json={"tenant": "c"})
    return client.request(method, where)


def served(routes: list[BaseRoute]) -> Iterator[APIRoute]:
    """Every route, also those inside of included routers."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from served(inner.routes)


def test_the_description_names_every_route_that_is_served() -> None:
    routes = list(served(an_app().routes))
    shown = {(method, route.path) for route in routes if route.include_in_schema for method in route.methods}
    assert shown == set(ROUTES)
    hidden = {route.path for route in routes if not route.include_in_schema}
    assert hidden == {"/", "/docs", "/flower"}


@pytest.mark.parametrize(("method", "path"), LOCKED)
def test_without_a_key_401(door: Door, method: str, path: str) -> None:
    job = door.job_of_a()
    answer = send(door.nobody, method, path, job)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["content-type"] == ("application/json" if path in DIALECTS else "application/problem+json")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "X-API-Key" in answer.json()["error" if path in DIALECTS else "detail"]


@pytest.mark.parametrize(("method", "path"), LOCKED)
def test_a_role_too_small_403(door: Door, method: str, path: str) -> None:
    job = door.job_of_a()
    for role in Role:
        answer = send(door.client(tenant="a", roles=(role,)), method, path, job)
        if role in ROLES[method, path]:
            assert answer.status_code not in (401, 403), answer.text
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), role
        if method == "DELETE" and role in ROLES[method, path]:
            job = door.job_of_a()


@pytest.mark.parametrize(("method", "path"), [route for route in LOCKED if about_a_job(route[1])])
def test_another_tenants_job_is_404_as_one_that_never_was(door: Door, method: str, path: str) -> None:
    job = door.job_of_a()
    before = door.a.get(f"/v1/jobs/{job}").json()
    for client in (door.b, door.client(tenant="b", roles=tuple(Role))):  # an admin of b is no reader of a
        answer = send(client, method, path, job)
        never = send(client, method, path, "job_" + "0" * 32)
        assert answer.status_code == never.status_code == 404
        assert re.sub("job_[0-9a-f]{32}", "ID", answer.text) == re.sub("job_[0-9a-f]{32}", "ID", never.text)
    assert door.a.get(f"/v1/jobs/{job}").json() == before
    assert send(door.a, method, path, job).status_code != 404


@pytest.mark.parametrize(("method", "path"), [route for route in LOCKED if "{batch_id}" in route[1]])
def test_another_tenants_batch_is_404_as_one_that_never_was(door: Door, method: str, path: str) -> None:
    batch = door.batch_of_a()
    before = door.a.get(f"/v1/batches/{batch}").json()
    for client in (door.b, door.client(tenant="b", roles=tuple(Role))):
        answer, never = send(client, method, path, "", batch), send(client, method, path, "")
        assert answer.status_code == never.status_code == 404
        assert answer.text.replace(batch, "ID") == never.text.replace(f"batch_{NEVER}", "ID")
    assert door.a.get(f"/v1/batches/{batch}").json() == before
    assert send(door.a, method, path, "", batch).status_code != 404


@pytest.mark.parametrize(
    ("method", "path"), [route for route in LOCKED if "{" not in route[1] and not about_a_job(route[1])]
)
def test_lists_name_nothing_of_another_tenant(door: Door, method: str, path: str) -> None:
    job, batch = door.job_of_a(), door.batch_of_a()
    for client in (door.b, door.client(tenant="b", roles=tuple(Role))):
        answer = send(client, method, path, job)
        assert batch not in answer.text
        if path not in NO_DOCUMENTS | DIALECTS and answer.status_code != 403:
            assert answer.status_code in (200, 201, 202), answer.text
        assert job not in answer.text
        assert "secret.png" not in answer.text
        if method == "GET":
            for asked in ({"tag": "mine"}, {"state": "failed"}, {"tenant": "a"}):
                again = client.get(path, params=asked)
                assert job not in again.text
                assert "secret.png" not in again.text


def test_each_tenant_has_a_webhook_secret_of_its_own(door: Door) -> None:
    a, b = (client.get("/v1/webhooks/secret").json()["secret"] for client in (door.a, door.b))
    assert a != b
    assert a.startswith("whsec_")


def test_the_same_document_and_idempotency_key_as_another_tenant(door: Door) -> None:
    """No cache hit, no run joined, no job answered again: each would tell that somebody else sent this file."""
    document = png()

    def post(client: httpx.Client) -> httpx.Response:
        return client.post("/v1/jobs", files={"file": document}, headers={"Idempotency-Key": "k"})

    first, second = post(door.a), post(door.b)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] != second.json()["id"]
    assert door.gateway.read("a's").tenant == "a"
    assert post(door.a).json()["state"] == "succeeded"
    assert door.b.get(second.headers["location"]).json()["state"] == "queued"  # it did not join
    assert door.b.post("/v1/jobs", files={"file": document}).json()["cached"] is False
    blobs = door.gateway.app.state.farm.blobs.folder
    assert len(list(blobs.glob("a/??/*"))) == len(list(blobs.glob("b/??/*"))) == 1
    assert door.b.delete(second.headers["location"]).status_code == 204
    assert door.a.get(first.headers["location"] + "/result?format=txt").text == "a's"


def test_a_document_deleted_by_one_tenant_stays_for_the_other(door: Door) -> None:
    document = png()
    here = door.a.post("/v1/jobs", files={"file": document}).headers["location"]
    there = door.b.post("/v1/jobs", files={"file": document}).headers["location"]
    assert door.a.delete(here).status_code == 204
    unit = door.gateway.ledger.redis.rpop(f"{door.gateway.settings.namespace}:q:balanced")
    assert unit is not None  # a's: nobody wants it any more
    assert door.gateway.claim().tenant == "b"
    assert door.b.get(there).json()["state"] == "running"


def test_tracebacks_are_for_a_key_that_is_also_the_admins(door: Door) -> None:
    job = str(door.a.post("/v1/jobs", files={"file": png()}).json()["id"])
    unit = door.gateway.claim()
    said = json.dumps({"message": "it broke", "traceback": "File inside.py, line 7"})
    door.gateway.ledger(calls.fail(unit.unit, WorkerLost(), token=unit.token, max_attempts=1, log=[said]))
    where = f"/v1/dead-letters/{job}"
    assert [a["log"] for a in door.a.get(where).json()["attempts"]] == [[{"message": "it broke"}]]
    operator = door.client(tenant="a", roles=("read", "admin"))
    assert [a["log"] for a in operator.get(where).json()["attempts"]] == [[json.loads(said)]]
    assert "inside.py" not in door.a.get("/v1/dead-letters").text
    assert door.client(tenant="b", roles=("read", "admin")).get(where).status_code == 404
