"""Probes, metrics, the farm's view, the interface's description, the pages."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.api.running_gateway import Gateway

import ocrfarm_api
from ocrfarm_shared.contracts import FarmView, JobState, ProfileView
from ocrfarm_shared.errors import OcrFarmError
from ocrfarm_shared.profiles import profiles
from ocrfarm_shared.version import version


def test_ready_only_when_a_worker_can_read(gateway: Gateway) -> None:
    assert gateway.http.get("/livez").json() == {"status": "alive"}
    answer = gateway.http.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "farm_unavailable")
    assert "ocrfarm worker" in answer.json()["detail"]
    gateway.hire()
    ready = gateway.http.get("/readyz").json()
    assert ready["status"] == "ready"
    assert ready["version"] == version()
    assert re.fullmatch(r"[0-9a-f]{12}|", ready["commit"])
    assert ready["slots"] == 1


def test_the_farm_by_nodes(gateway: Gateway) -> None:
    gateway.hire("a:1", node="a", version="1.0", reading="run_x:1")
    gateway.hire("a:2", node="a", version="1.0")
    gateway.hire("b:1", node="b", version="0.9", profiles=["accurate"])
    for _ in range(9):
        gateway.submit()
    gateway.read()
    gateway.claim()
    view = FarmView.model_validate(gateway.http.get("/v1/farm").json())
    assert [(node.name, node.slots, node.version) for node in view.nodes] == [("a", 2, "1.0"), ("b", 1, "0.9")]
    assert view.nodes[0].info == {"profiles": ["balanced"], "pages_read": 0, "reading": ["run_x:1"]}
    assert (view.slots, view.queued_units, view.running_units, view.pages_total) == (3, 7, 1, 1)
    assert view.oldest_queued_s is not None
    assert 0 <= view.oldest_queued_s < 60


def test_what_nodes_can_and_what_nobody_can(gateway: Gateway) -> None:
    can = {"cores": 4, "memory_mb": 8000, "commit": "abc", "reads": ["accurate-int8", "fast"], "models": {"m": "1"}}
    bench = {"benchmark": {"model": "m", "lines_per_s": 40.0}, "pace": {"fast": [2.0, 3]}}
    gateway.hire("a:1", node="a", **can, **bench)
    gateway.hire("a:2", node="a", **can, benchmark={"model": "m", "lines_per_s": 50.0}, pace={"fast": [1.0, 1]})
    gateway.submit(profile="fast")
    gateway.submit(profile="fast-zh")
    view = FarmView.model_validate(gateway.http.get("/v1/farm").json())
    info = view.nodes[0].info
    assert {name: info[name] for name in can} == can
    assert (info["lines_per_s"], info["benchmark_model"], info["pace"]) == (50.0, "m", {"fast": 1.75})
    loads = {load.name: load for load in view.profiles}
    assert (loads["fast"].queued_units, loads["fast"].slots, loads["fast"].waiting_for) == (1, 2, None)
    assert (loads["accurate-int8"].queued_units, loads["accurate-int8"].slots) == (0, 2)
    assert (loads["fast-zh"].queued_units, loads["fast-zh"].slots) == (1, 0)
    assert "fast-zh" in (loads["fast-zh"].waiting_for or "")


def test_a_job_that_nobody_alive_can_read_is_taken_and_says_so(gateway: Gateway) -> None:
    gateway.hire("a:1", node="a", reads=["balanced"])
    answer = gateway.submit(profile="fast-zh")
    assert answer.status_code == 202
    assert "fast-zh" in answer.json()["waiting_for"]
    assert gateway.submit().json()["waiting_for"] is None
    gateway.hire("b:1", node="b", reads=["fast-zh"])
    assert gateway.http.get(answer.headers["Location"]).json()["waiting_for"] is None


def test_profiles(gateway: Gateway) -> None:
    views = [ProfileView.model_validate(row) for row in gateway.http.get("/v1/profiles").json()]
    assert [view.name for view in views] == list(profiles())
    assert [view.name for view in views if view.default] == ["balanced"]
    assert all(view.models and view.languages and view.description for view in views)


def test_metrics(gateway: Gateway) -> None:
    gateway.hire()
    here = gateway.submit().headers["location"]
    gateway.submit()
    gateway.read()
    gateway.http.get(here)
    gateway.http.get("/v1/jobs/job_" + "0" * 32)
    gateway.http.get("/nowhere/at/all")
    gateway.http.request("BREW", "/v1/jobs")
    text = gateway.http.get("/metrics").text
    for line in (
        'ocrfarm_http_requests_total{method="POST",route="/v1/jobs",status="202"} 2.0',
        'ocrfarm_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="200"} 1.0',
        'ocrfarm_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"} 1.0',
        'ocrfarm_http_requests_total{method="GET",route="other",status="404"} 1.0',
        'ocrfarm_http_request_seconds_count{method="POST",route="/v1/jobs"} 2.0',
        "ocrfarm_ledger_up 1.0",
        "ocrfarm_slots 1.0",
        "ocrfarm_jobs_active 1.0",
        "ocrfarm_dead_letters 0.0",
        "ocrfarm_outbox 0.0",
        'ocrfarm_units{profile="balanced",state="published"} 1.0',
        'ocrfarm_units{profile="balanced",state="queued"} 0.0',
        "ocrfarm_jobs_submitted_total 2.0",
        "ocrfarm_jobs_succeeded_total 1.0",
        "ocrfarm_pages_read_total 1.0",
    ):
        assert f"\n{line}\n" in text, line
    assert "BREW" not in text
    assert here.rpartition("/")[2] not in text


def test_every_route_is_described(gateway: Gateway) -> None:
    described = gateway.http.get("/openapi.json").json()
    posting = described["paths"]["/v1/jobs"]["post"]
    form = posting["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert {
        "file",
        "profile",
        "layout",
        "languages",
        "pages",
        "options",
        "cache",
        "priority",
        "tag",
        "deadline_s",
        "webhook",
    } == set(form)
    assert set(posting["responses"]) == {"200", "202", "400", "401", "403", "413", "415", "422", "429", "503"}
    assert "application/problem+json" in posting["responses"]["415"]["content"]
    names = [p["name"] for p in posting["parameters"]]
    assert names == ["wait", "Idempotency-Key"]
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert operation.get("description"), path
            assert "HTTPValidationError" not in str(operation["responses"]), path


WEB = Path(ocrfarm_api.__file__).parent / "web"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def test_pages_are_ours_alone(gateway: Gateway) -> None:
    """No other host is asked for anything, no script or style stands inside a page, and no text is ever put in as HTML."""
    files = {f"/web/{file.relative_to(WEB)}": file for file in sorted(WEB.rglob("*")) if file.is_file()}
    assert len([path for path in files if path.endswith(".js")]) > 10
    for path, file in ({"/": WEB / "index.html", "/docs": WEB / "docs.html"} | files).items():
        answer = gateway.http.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith(KINDS[file.suffix]), path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.content == file.read_bytes()
        assert not re.search(r"https?://(?!127\.0\.0\.1|localhost|www\.w3\.org)", answer.text), path
        if file.suffix == ".html":
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|\bstyle=", answer.text), path
        if file.suffix == ".js":
            assert not re.search(r"(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\b", answer.text), path
            assert len(answer.text.splitlines()) <= 310, f"{path} wants to be two files"


def test_the_page_speaks_both_languages() -> None:
    """Every word that the page asks for is in the table, in English and in Chinese; none stands there unused."""
    scripts = {file: file.read_text("utf8") for file in WEB.rglob("*.js")}
    table = scripts[WEB / "js" / "words.js"]
    words = dict(re.findall(r'^  "?([\w-]+)"?: \["(.*)"\],$', table, re.MULTILINE))
    assert len(words) > 80
    assert [name for name, said in words.items() if not re.search('", ".+$', said)] == []
    asked = set(re.findall(r'data-t(?:-label)?="([^"]+)"', (WEB / "index.html").read_text("utf8")))
    others = "".join(source for file, source in scripts.items() if file.name != "words.js")
    quoted = set(re.findall(r'"([\w-]+)"', others)) | {state.value for state in JobState}
    assert asked <= set(words)
    assert set(re.findall(r'\bt\("([\w-]+)"', others)) <= set(words)
    built = tuple(re.findall(r"\bt\(`([\w-]+-)\$\{", others))  # `node-${state}`
    assert {name for name in words if name not in asked | quoted and not name.startswith(built)} == set()
    assert set(re.findall(r"(\w+): \"[^\"]+\"", table[table.index("const ERRORS") :])) >= {
        kind.code for kind in errors_of(OcrFarmError) if kind.code != "bad_request"
    } - {"method_not_allowed", "idempotency_conflict"}


def errors_of(kind: type[OcrFarmError]) -> list[type[OcrFarmError]]:
    return [found for child in kind.__subclasses__() for found in (child, *errors_of(child))]
