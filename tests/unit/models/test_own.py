"""Models that people bring: five layouts are added and read; everything that is wrong is told in a sentence that says what to do.

The networks in tests/data/own_models were trained by make.py there on lines like those drawn here.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import string
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from ocrfarm_models import own, registry
from ocrfarm_models.offer import Unfit, read_charset, read_spec
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_shared import profiles
from ocrfarm_shared.contracts import OcrOptions
from ocrfarm_shared.errors import ModelUnavailable, UnknownProfile
from ocrfarm_shared.fingerprint import cache_key
from ocrfarm_shared.settings import SettingsError

DATA = Path(__file__).parents[2] / "data" / "own_models"
LAYOUTS = ["modelscope", "free_width", "keras_ocr", "keras_captcha", "deep_text"]
DrawLine = Callable[..., NDArray[np.uint8]]


def add(name: str, **changes: Any) -> Any:
    files = {"onnx": DATA / f"{name}.onnx", "charset": DATA / f"{name}.txt", "spec": DATA / f"{name}.toml"} | changes
    options = {k: v for k, v in changes.items() if k not in ("onnx", "charset", "spec", "called")}
    called = changes.get("called", name)
    return own.add(called, files["onnx"], read_charset(files["charset"]), read_spec(files["spec"]), **options)


def opened(name: str) -> Recognizer:
    return Recognizer.open(registry.resolve(name))


def words(count: int, characters: str, least: int, most: int) -> list[str]:
    rng = random.Random(4)
    return ["".join(rng.choices(characters, k=rng.randint(least, most))) for _ in range(count)]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_model_of_each_layout_is_added_and_reads(state: Path, name: str, draw_line: DrawLine) -> None:
    add(name)
    characters = "".join(c for c in (DATA / f"{name}.txt").read_text().split("\n") if len(c) == 1)
    said = words(40, characters, *((5, 5) if name == "keras_captcha" else (3, 6)))
    recognizer = opened(name)
    read = recognizer.read([draw_line(text, size) for text, size in zip(said, [24, 30, 36, 40] * 10, strict=True)])
    right = sum(line.text == text for line, text in zip(read, said, strict=True))
    assert right >= 34, [(t, r.text) for t, r in zip(said, read, strict=True) if t != r.text]
    assert all(0 < line.confidence <= 1 and line.model == name for line in read)
    assert [round(c.x_start, 3) for line in read for c in line.chars] != []
    for line in read:
        assert [c.x_start for c in line.chars] == sorted(c.x_start for c in line.chars)
    recognizer.close()


def test_a_line_of_fifty_characters_through_windows(state: Path, draw_line: DrawLine) -> None:
    """The fixed-width model, through windows, reads what the free-width one reads at once: the same network."""
    add("modelscope")
    add("free_width")
    fixed, free = opened("modelscope"), opened("free_width")
    said = ["".join(random.Random(n).choices(string.digits + string.ascii_lowercase, k=50)) for n in range(6)]
    crops = [draw_line(text, 32) for text in said]
    whole, joined = free.read(crops), fixed.read(crops)
    assert [line.text for line in joined] == [line.text for line in whole]
    for one, other in zip(joined, whole, strict=True):
        assert [c.x_start for c in one.chars] == pytest.approx([c.x_start for c in other.chars], abs=0.01)
    assert crops[0].shape[1] > 3 * 280
    short = fixed.read([draw_line("abc"), crops[0], draw_line("xyz12")])
    assert [line.text for line in short] == ["abc", joined[0].text, "xyz12"]


def test_model_and_profile_are_registered_and_go_again(state: Path) -> None:
    add("keras_ocr", called="mine")
    row = registry.row("mine")
    assert row.version.startswith("mine@own-")
    profile = profiles.get_profile("mine")
    assert (profile.recognizer, profile.detector, profile.languages) == ("mine", None, ("en",))
    assert profiles.model_versions(profile) == {"mine": row.version}
    assert registry.resolve("mine").sha256 == row.sha256
    with pytest.raises(Unfit, match="--replace"):
        add("keras_ocr", called="mine")
    add("deep_text", called="mine", replace_old=True)
    assert registry.row("mine").version != row.version
    assert not list((state / "own-models").glob(".*"))
    own.remove("mine")
    with pytest.raises(UnknownProfile):
        profiles.get_profile("mine")
    with pytest.raises(ModelUnavailable):
        registry.row("mine")
    with pytest.raises(Unfit, match="added are: none"):
        own.remove("mine")


def test_replacing_leaves_no_moment_without_a_model(tmp_path: Path) -> None:
    """Another process looks all the while; a folder that is moved away before the new one comes is missed thousands of times."""
    folder, other = tmp_path / "mine", tmp_path / "other"
    for made in (folder, other):
        made.mkdir()
        (made / "model.toml").write_text(made.name)
    looks = """
import os, sys
missed = looked = 0
while not os.path.exists(sys.argv[2]):
    looked += 1
    missed += not os.path.exists(sys.argv[1])
print(missed, looked)
"""
    words = [sys.executable, "-c", looks, str(folder), str(tmp_path / "stop")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as looking:
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            own.put_in_place(other, folder)
        (tmp_path / "stop").touch()
        missed, looked = map(int, str(looking.communicate(timeout=60)[0]).split())
    assert looked > 1000
    assert missed == 0
    assert {(folder / "model.toml").read_text(), (other / "model.toml").read_text()} == {"mine", "other"}


def test_figures_that_are_no_numbers(state: Path) -> None:
    with pytest.raises(Unfit, match="nan, which is no number"):
        add("keras_ocr", figures={"accuracy": float("nan")})
    assert own.own_names() == []


def test_a_profile_for_pages_takes_the_default_profiles_detector(state: Path) -> None:
    add("free_width", called="pages")
    usual = profiles.get_profile(profiles.default_profile())
    made = profiles.get_profile("pages")
    assert (made.detector, made.classifier) == (usual.detector, usual.classifier)
    assert set(profiles.model_versions(made)) == {usual.detector, usual.classifier, "pages"}


def test_another_charset_is_another_model_to_the_cache(state: Path, tmp_path: Path) -> None:
    def key() -> str:
        versions = profiles.model_versions(profiles.get_profile("mine"))
        return cache_key("me", "0" * 64, OcrOptions(profile="mine"), versions)

    add("keras_ocr", called="mine")
    first = key()
    other = tmp_path / "other.txt"
    other.write_text("\n".join(reversed((DATA / "keras_ocr.txt").read_text().split())), "utf8")
    add("keras_ocr", called="mine", charset=other, replace_old=True)
    assert key() != first


def test_a_changed_file_is_found(state: Path) -> None:
    add("deep_text")
    with (state / "own-models" / "deep_text" / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelUnavailable, match="models add deep_text"):
        registry.resolve("deep_text")


def test_damaged_files_name_themselves_and_can_be_removed(state: Path) -> None:
    add("deep_text")
    folder = state / "own-models" / "deep_text"
    (folder / "profile.toml").write_text("recognizer = 3")
    own.forget()
    with pytest.raises(SettingsError, match=re.escape("profile.toml is not a profile")):
        profiles.profiles()
    (folder / "model.toml").write_text("kind =")
    with pytest.raises(ModelUnavailable, match="models remove deep_text"):
        registry.rows()
    own.remove("deep_text")
    assert "accurate" in profiles.profiles()


@pytest.mark.parametrize("name", ["", "Mine", "../up", "a b", "accurate", "crnn-en", "-x", "x" * 41])
def test_names_that_cannot_be_given(state: Path, name: str) -> None:
    with pytest.raises(Unfit, match="name"):
        add("deep_text", called=name)


# ---------------------------------------------------------------------- what is wrong with a spec
def change(name: str, tmp_path: Path, old: str, new: str) -> Path:
    text = (DATA / f"{name}.toml").read_text("utf8")
    assert old in text
    changed = tmp_path / "changed.toml"
    changed.write_text(text.replace(old, new), "utf8")
    return changed


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("deep_text", "height = 32", "height = 48", "32 rows, and the spec says 48"),
        ("deep_text", "width = 100", "width = 200", "100 columns, and the spec says 200"),
        ("deep_text", 'fit = "stretch"', "", ""),
        ("deep_text", 'channels = "GREY"', 'channels = "RGB"', "1 channels, and the spec says 3"),
        ("deep_text", 'activation = "logits"', 'activation = "softmax"', 'put activation = "logits"'),
        ("deep_text", "blank = 0", "blank = 37", "classes 0 to 36"),
        ("deep_text", "blank = 0", "", "needs `blank`"),
        ("deep_text", "std = 0.5", "std = 0", "more than 0"),
        ("deep_text", "mean = 0.5", 'mean = "half"', "it takes a number"),
        ("deep_text", "mean = 0.5", "mean = nan", "`input.mean` in .* is nan; it takes a number"),
        ("deep_text", "[output]", "[outputs]", "no field `outputs`"),
        ("deep_text", 'layout = "NCHW"', 'layout = "CHW"', "there are: NCHW, NHWC, NWHC"),
        ("deep_text", "blank = 0", "blank =", "is not TOML"),
        ("keras_ocr", 'layout = "NHWC"', 'layout = "NCHW"', "did you mean layout = 'NHWC'"),
        ("keras_captcha", 'layout = "NWHC"', 'layout = "NHWC"', "did you mean layout = 'NWHC'"),
        ("keras_ocr", "width = 200\n", "", "put `width = 200`"),
        ("modelscope", "overlap = 96", "overlap = 200", "at most half"),
        ("modelscope", "overlap = 96", "overlap = 96\ntrim = 0.5", "0 to 0.25"),
        ("modelscope", "height = 32\n", "", "needs a table .input. with the height"),
        ("free_width", 'order = "TNC"', 'order = "NTC"', 'put order = "TNC"'),
        ("free_width", "[input]", "space = true\n[input]", "the blank and the space makes 38"),
        ("free_width", "multiple = 4", 'multiple = 4\nfit = "stretch"', "for models of one width"),
        ("free_width", "[input]", 'space = "no"\n[input]', "`space` in .* takes true or false"),
        ("free_width", "[output]", "[output.more]", "no field `output.more`"),
    ],
)
def test_a_wrong_spec_is_told(state: Path, tmp_path: Path, name: str, old: str, new: str, told: str) -> None:
    spec = change(name, tmp_path, old, new)
    if not told:
        add(name, spec=spec)
        return
    with pytest.raises(Unfit, match=told):
        add(name, spec=spec)
    assert own.own_names() == []


@pytest.mark.parametrize("name", ["input", "output"])
def test_a_table_that_is_none_is_told(tmp_path: Path, name: str) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(f"blank = 0\n{name} = 32\n", "utf8")
    with pytest.raises(Unfit, match=f"below a line .{name}."):
        read_spec(spec)


# ---------------------------------------------------------------------- what is wrong with a charset
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "is empty"),
        (b"a\nb\na\n", "'a' more than once"),
        (b"[CTCblank]\na\nb\n", "lists CTC's blank"),
        (b"\xff\xfe", "not UTF-8"),
        ("\n".join(string.ascii_lowercase).encode(), "37 classes; the charset has 26 characters"),
        ("\n".join([*string.digits, *string.ascii_lowercase, "!"]).encode(), "does the charset list the blank"),
        ("\n".join([*string.digits, *string.ascii_lowercase][:-1]).encode(), "is the space missing"),
    ],
)
def test_a_wrong_charset_is_told(state: Path, tmp_path: Path, text: bytes, told: str) -> None:
    file = tmp_path / "characters.txt"
    file.write_bytes(text)
    with pytest.raises(Unfit, match=told):
        add("deep_text", charset=file)


def test_ways_to_write_a_charset(tmp_path: Path) -> None:
    def said(text: str) -> list[str]:
        (tmp_path / "c").write_bytes(text.encode())
        return read_charset(tmp_path / "c")

    assert (
        said("a\nb\n \n") == said("\ufeffa\r\nb\r\n \r\n") == said('["a", "b", " "]') == said("ab ") == ["a", "b", " "]
    )
    assert said("[UNK]\na\n") == ["", "a"]
    assert said("[\nx\n]") == ["[", "x", "]"]


# ---------------------------------------------------------------------- what is wrong with a file
def break_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8


def break_axes(model: onnx.ModelProto) -> None:
    del model.graph.input[0].type.tensor_type.shape.dim[0]


def two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(onnx.helper.make_tensor_value_info("text", onnx.TensorProto.FLOAT, [1]))


def old(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 6


def foreign(model: onnx.ModelProto) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("ai.somebody", 1))
    model.graph.node[-1].domain = "ai.somebody"


def external(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL


def fixed_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type = "Softermax"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (break_input, "is uint8; export it with a float32"),
        (break_axes, "has 3 axes"),
        (two_inputs, "2 inputs .x, text."),
        (old, "opset 6"),
        (foreign, "ai.somebody"),
        (external, "weights in another file"),
        (fixed_batch, "exactly 8 lines"),
        (unknown_operator, "ONNX Runtime cannot open"),
    ],
)
def test_a_wrong_file_is_told(
    state: Path, tmp_path: Path, damage: Callable[[onnx.ModelProto], None], told: str
) -> None:
    model = onnx.load(DATA / "deep_text.onnx")
    damage(model)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Unfit, match=told):
        add("deep_text", onnx=tmp_path / "m.onnx")


@pytest.mark.parametrize("content", [b"", b"no network", b"\x00" * 4096, (DATA / "deep_text.onnx").read_bytes()[:9000]])
def test_a_file_that_is_no_model_is_told(state: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(Unfit, match=r"is not an ONNX file|cannot open"):
        add("deep_text", onnx=tmp_path / "m.onnx")


# ---------------------------------------------------------------------- the commands
def test_the_commands(state: Path, tmp_path: Path) -> None:
    from ocrfarm_models.cli import models

    shutil.copy(DATA / "deep_text.onnx", tmp_path / "m.onnx")
    words = ["add", "mine", "--onnx", str(tmp_path / "m.onnx"), "--charset", str(DATA / "deep_text.txt")]
    run = CliRunner().invoke
    done = run(models, [*words, "--spec", str(DATA / "deep_text.toml")])
    assert done.exit_code == 0, done.output
    assert "--profile mine" in done.output
    assert "started again" in done.output
    assert "'07els'; the model reads '07els'" in done.output
    assert json.loads((state / "own-models/mine/charset.json").read_text())[:2] == ["0", "1"]
    assert "mine" in run(models, ["list"], env={"COLUMNS": "200"}).output
    again = run(models, [*words, "--spec", str(DATA / "deep_text.toml")])
    assert (again.exit_code, "--replace" in again.output) == (1, True)
    missing = run(models, [*words, "--replace", "--spec", str(tmp_path / "none.toml")])
    assert (missing.exit_code, "There is no file" in missing.output) == (1, True)
    assert run(models, ["remove", "mine"]).exit_code == 0
    assert run(models, ["remove", "mine"]).exit_code == 1


def test_training_without_torch_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from ocrfarm.cli import build

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "torch" else real(name, *more))
    done = CliRunner().invoke(build(), ["train", "--data", "lines", "--name", "mine"])
    assert done.exit_code == 2
    assert "pip install 'ocrfarm[train]'" in done.output
    assert "torch" in done.output
