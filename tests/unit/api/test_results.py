"""Results: formats, what a job in another state answers, pages while the rest still runs."""

from __future__ import annotations

import tracemalloc

import httpx
import pytest
from tests.unit.api.running_gateway import PDF, Gateway, a_page, png

from ocrfarm_api.large_answers import LARGE_PAGES
from ocrfarm_api.routes import results
from ocrfarm_shared.contracts import Document, Line, Page, Word
from ocrfarm_shared.errors import Unreadable, WorkerLost
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.settings import Settings


def plan(gateway: Gateway, pages: int) -> str:
    """Submit a PDF and count its pages as a worker does; the job's address."""
    here = gateway.submit(PDF + png(), "b.pdf").headers["location"]
    unit = gateway.claim()
    assert gateway.ledger(calls.finish_plan(unit.unit, unit.token, range(1, pages + 1), pages))
    return here


def test_json_and_text(gateway: Gateway) -> None:
    here = plan(gateway, 2)
    gateway.read("one")
    gateway.read("zwei 二")
    answer = gateway.http.get(f"{here}/result")
    assert answer.headers["content-type"] == "application/json"
    document = Document.model_validate_json(answer.content)
    assert document.text == "one\fzwei 二"
    assert (document.page_count, document.models) == (2, ["m"])
    assert document.timings_ms == {"detect": 3.0}
    assert document.pages[1].lines[0].polygon[2] == (9, 9)
    text = gateway.http.get(f"{here}/result?format=txt")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.content.decode("utf8") == "one\fzwei 二"


def test_formats_that_are_not_offered_are_named(gateway: Gateway) -> None:
    here = gateway.submit().headers["location"]
    for name in ("docx", "exe"):
        answer = gateway.http.get(f"{here}/result?format={name}")
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_option")
        assert "json, txt" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("Brief 1.png", "attachment; filename=\"Brief 1.png.txt\"; filename*=UTF-8''Brief%201.png.txt"),
        ("信.png", "attachment; filename=\"_.png.txt\"; filename*=UTF-8''%E4%BF%A1.png.txt"),
        ('a"\r\nSet-Cookie: x=1.png', None),
        ("../../x.png", "attachment; filename=\".._.._x.png.txt\"; filename*=UTF-8''..%2F..%2Fx.png.txt"),
    ],
)
def test_a_result_is_an_attachment_under_a_harmless_name(gateway: Gateway, filename: str, expected: str | None) -> None:
    here = gateway.http.post("/v1/jobs", content=png(), params={"filename": filename}).headers["location"]
    gateway.read("x")
    answer = gateway.http.get(f"{here}/result?format=txt")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers
    if expected:
        assert answer.headers["content-disposition"] == expected


def test_failed_job_says_why(gateway: Gateway) -> None:
    here = gateway.submit().headers["location"]
    gateway.fail(Unreadable())
    answer = gateway.http.get(f"{here}/result")
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["error"]["code"]) == (409, "not_succeeded", "unreadable")
    assert "damaged or cut short" in problem["detail"]
    assert gateway.http.get(here).json()["error"]["code"] == "unreadable"


def test_partial_result_tells_the_page_that_failed_from_an_empty_one(gateway: Gateway) -> None:
    here = plan(gateway, 3)
    gateway.read("first")
    gateway.fail(WorkerLost())
    empty = gateway.claim()
    gateway.ledger(calls.finish_page(empty.unit, empty.token, Page(number=3, width=5, height=5)))
    assert gateway.http.get(here).json()["state"] == "partial"
    document = Document.model_validate_json(gateway.http.get(f"{here}/result").content)
    assert [page.error.code if page.error else None for page in document.pages] == [None, "worker_lost", None]
    first, second, third = gateway.http.get(f"{here}/result?format=txt").text.split("\f")
    assert (first, third) == ("first", "")
    assert second.startswith("[page 2 could not be read: ")


def test_pages_while_the_rest_still_runs(gateway: Gateway) -> None:
    here = plan(gateway, 3)
    one, two = gateway.claim(), gateway.claim()
    gateway.ledger(calls.finish_page(two.unit, two.token, a_page(2, "two")))
    answer = gateway.http.get(f"{here}/pages")
    got = answer.json()
    assert ([page["number"] for page in got["pages"]], got["state"]) == ([2], "running")
    assert got["progress"] == {"pages_done": 1, "pages_total": 3}
    assert answer.headers["retry-after"] == "1"
    gateway.ledger(calls.finish_page(one.unit, one.token, a_page(1, "one")))
    gateway.read("three")
    got = gateway.http.get(f"{here}/pages").json()
    assert ([page["number"] for page in got["pages"]], got["state"]) == ([1, 2, 3], "succeeded")
    assert [p["number"] for p in gateway.http.get(f"{here}/pages?after=1&limit=1").json()["pages"]] == [2]
    assert gateway.http.get(f"{here}/pages?after=-1").json()["code"] == "bad_option"


def test_an_expired_result_is_410_and_the_record_still_there(gateway: Gateway) -> None:
    """Expiry is the sweep's: here every result is made to be past its end of life."""
    document = png()
    here = gateway.submit(document).headers["location"]
    gateway.read("x")
    job = here.rpartition("/")[2]
    gateway.ledger.redis.zadd(f"{gateway.settings.namespace}:expiry", {job: 1})
    swept = gateway.ledger(calls.sweep(gateway.settings))
    assert swept.expired == 1
    for tail in ("/result", "/result?format=txt", "/pages"):
        answer = gateway.http.get(here + tail)
        assert (answer.status_code, answer.json()["code"]) == (410, "expired")
    assert gateway.http.post(f"{here}/retry").status_code == 410
    assert gateway.http.get(here).json()["state"] == "succeeded"
    assert gateway.submit(document).status_code == 202  # the cache does not point to what is gone


def test_settings_of_two_gateways_do_not_meet(gateway: Gateway, farm_settings: Settings) -> None:
    """The namespace is the farm: another one on the same Redis knows none of its jobs."""
    here = gateway.submit().headers["location"]
    other = Gateway(farm_settings.model_copy(update={"namespace": farm_settings.namespace + "x"})).start()
    try:
        assert other.http.get(here).status_code == 404
    finally:
        other.stop()


def test_large_results_have_few_places(gateway: Gateway) -> None:
    """One of a thousand pages is 50 MB in the gateway's memory, as long as its caller takes his time."""
    here = plan(gateway, LARGE_PAGES)
    for n in range(LARGE_PAGES):
        gateway.read(f"{n} " + "x" * 200_000)
    small = gateway.submit().headers["location"]
    gateway.read("small")
    gateway.app.state.farm.large._most = 1
    routes = (f"{here}/result", f"{here}/result?format=txt", f"{here}/pages")
    with gateway.http.stream("GET", routes[0]) as slow:
        assert slow.status_code == 200
        with httpx.Client(base_url=gateway.url, timeout=30, trust_env=False) as http:
            for route in routes:
                answer = http.get(route)
                assert (answer.status_code, answer.json()["code"]) == (503, "farm_full")
                assert int(answer.headers["retry-after"]) > 0
            assert http.get(f"{here}/pages", params={"after": LARGE_PAGES - 3}).status_code == 200
            assert http.get(f"{here}/pages", params={"limit": 5}).status_code == 200
            assert http.get(f"{small}/result").status_code == 200
        body = slow.read()
    assert len(body) == int(slow.headers["content-length"])
    assert [page.number for page in Document.model_validate_json(body).pages] == [*range(1, LARGE_PAGES + 1)]
    assert gateway.http.get(routes[1]).text.count("\f") == LARGE_PAGES - 1
    assert gateway.http.get(routes[2]).headers["content-type"] == "application/json"
    assert not gateway.app.state.farm.large.by_tenant


def test_a_batchs_results_have_the_same_places(gateway: Gateway) -> None:
    where = gateway.http.post("/v1/batches", files=[("file", png())]).json()["links"]["results"]
    gateway.read()
    assert gateway.http.get(where).status_code == 200
    gateway.app.state.farm.large._most = 0
    answer = gateway.http.get(where)
    assert (answer.status_code, answer.json()["code"]) == (503, "farm_full")


def test_a_long_result_is_written_page_by_page_and_is_the_same() -> None:
    """All pages as objects at once are twelve times their JSON: a gateway of 100 MB would become one of gigabytes."""
    word = Word(text="word", confidence=0.9, polygon=[(1.5, 2.5), (3.5, 4.5), (5.5, 6.5), (7.5, 8.5)])
    line = Line(text='é \u2028 "a"', confidence=0.9, polygon=word.polygon, words=[word] * 200, model="m")
    page = Page(number=1, width=1, height=1, lines=[line] * 5, models=["m"], timings_ms={"load": 1.25})
    packed = [calls.pack_page(page.model_copy(update={"number": n})) for n in range(1, 31)]
    tracemalloc.start()
    try:
        body = results._json(results.unpack(packed), 300)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(body)
    assert Document.model_validate_json(body) == Document.of([calls.unpack_page(p) for p in packed], 300)
