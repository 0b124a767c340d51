"""The registry: every row is whole, and every way in which a file can be wrong is told in a sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ocrfarm_models import registry
from ocrfarm_models.build import build
from ocrfarm_models.spec import ModelSpec
from ocrfarm_shared.errors import ModelUnavailable
from ocrfarm_shared.profiles import profiles
from ocrfarm_shared.settings import settings


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A node on which no model was built."""
    monkeypatch.setenv("OCRFARM_MODEL_FOLDER", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    settings.cache_clear()


def test_every_profile_is_made_of_rows_of_the_right_kind() -> None:
    for profile in profiles().values():
        assert profile.detector is None or registry.row(profile.detector).kind == "detector"
        assert registry.row(profile.recognizer).kind == "recognizer"
        assert profile.classifier is None or registry.row(profile.classifier).kind == "classifier"


@pytest.mark.parametrize("model_id", list(registry.rows()))
def test_every_row_has_its_file_and_says_what_it_is(model_id: str) -> None:
    entry = registry.row(model_id)
    digest = hashlib.sha256(registry.source_path(entry).read_bytes()).hexdigest()
    assert digest == entry.sha256
    assert entry.licence
    assert entry.title
    assert entry.charset or entry.kind != "recognizer"


def test_versions_tell_models_recipes_and_revisions_apart() -> None:
    versions = [entry.version for entry in registry.rows().values()]
    assert len(set(versions)) == len(versions)
    entry = registry.row("ppocrv6-rec-int8")
    assert registry.model_version(entry.id) == entry.version
    assert replace(entry, revision=entry.revision + 1).version != entry.version
    assert replace(entry, sha256="0" * 64).version != entry.version
    assert replace(entry, input=replace(entry.input, margin=0)).version != entry.version
    assert replace(entry, title="", figures={"x": 1.0}).version == entry.version


def test_a_derived_row_takes_what_it_does_not_change() -> None:
    base, derived = registry.row("ppocrv6-rec"), registry.row("ppocrv6-rec-int8")
    assert (derived.input, derived.charset, derived.sha256) == (base.input, base.charset, base.sha256)
    assert (derived.recipe, derived.title != base.title) == ("int8", True)


def test_a_file_of_a_package_resolves() -> None:
    spec = registry.resolve("ppocr-cls")
    assert isinstance(spec, ModelSpec)
    assert spec.path.is_file()
    assert spec.version == registry.model_version("ppocr-cls")


def test_an_unknown_id_names_those_there_are() -> None:
    with pytest.raises(ModelUnavailable, match=r"no model 'nope'.*ppocrv6-det"):
        registry.resolve("nope")


def test_a_model_that_was_not_built_says_how(empty_folder: Path) -> None:
    with pytest.raises(ModelUnavailable, match="ocrfarm models build ppocrv6-rec"):
        registry.resolve("ppocrv6-rec")


def test_a_wrong_hash_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(registry.row("ppocr-cls"), sha256="0" * 64)
    with pytest.raises(ModelUnavailable, match=r"begins with e47acedf, not 00000000; reinstall rapidocr"):
        registry.source_path(wrong)


def test_a_missing_package_and_a_missing_file_are_told() -> None:
    entry = registry.row("ppocr-cls")
    with pytest.raises(ModelUnavailable, match="no_such_package, which is not installed"):
        registry.source_path(replace(entry, file="no_such_package:a.onnx"))
    with pytest.raises(ModelUnavailable, match="missing or unreadable"):
        registry.source_path(replace(entry, file="rapidocr:models/none.onnx"))
    with pytest.raises(ModelUnavailable, match="reinstall ocrfarm"):
        registry.source_path(replace(entry, file="weights/none.onnx"))


def test_a_built_model_that_was_damaged_or_whose_record_was_is_not_opened(empty_folder: Path) -> None:
    build(["ppocrv6-rec"])
    spec = registry.resolve("ppocrv6-rec")
    content = spec.path.read_bytes()
    spec.path.write_bytes(content[:-1])
    with pytest.raises(ModelUnavailable, match=r"ocrfarm models build ppocrv6-rec --force"):
        registry.resolve("ppocrv6-rec")
    spec.path.write_bytes(content)
    registry.stamp_path(spec.path).write_text("{}", "utf8")
    with pytest.raises(ModelUnavailable, match=r"record .* is damaged"):
        registry.resolve("ppocrv6-rec")
    assert build(["ppocrv6-rec"]) == ["ppocrv6-rec"]
    assert registry.resolve("ppocrv6-rec").sha256 == spec.sha256
