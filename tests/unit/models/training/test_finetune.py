"""`ocrfarm train`: labels are checked first, lines parted the same way each time, the base's rows kept; a model comes of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from typer.testing import CliRunner

from ocrfarm_models import registry
from ocrfarm_shared import profiles

pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("fontTools")

from ocrfarm_models.offer import Unfit
from ocrfarm_models.training.alphabet import Alphabet
from ocrfarm_models.training.export import load_network
from ocrfarm_models.training.finetune import (
    CHECKPOINT,
    Lesson,
    adopt,
    base_checkpoint,
    check,
    part,
    teach,
)
from ocrfarm_models.training.folders import LabelError
from ocrfarm_models.training.train import Trainer


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Thirty labelled lines of plain print."""
    folder, rng, rows = tmp_path / "lines", random.Random(3), []
    folder.mkdir()
    for number in range(30):
        said = "".join(rng.choices("ABCDEFGH123456789", k=6))
        font = ImageFont.load_default(30)
        image = Image.new("L", (int(font.getlength(said)) + 16, 44), "white")
        ImageDraw.Draw(image).text((8, 4), said, 0, font)
        image.save(folder / f"{number:02d}.png")
        rows.append(f"{number:02d}.png\t{said}\n")
    (folder / "labels.tsv").write_text("".join(rows), "utf8")
    return folder


def lesson(folder: Path, **changes: object) -> Lesson:
    asked = {
        "data": folder, "name": "mine", "base": "crnn-en", "minutes": 0.2, "hold_out": 0.2, "only_these": False, "skip_bad": False,
        "threads": 1, "layout": "labels", "even_if_worse": False, "replace": False,
    }  # fmt: skip
    return Lesson(**(asked | changes))  # type: ignore[arg-type]  # fields by name


def test_every_bad_line_is_named_before_anything_is_trained(lines: Path) -> None:
    (lines / "broken.png").write_bytes(b"no picture")
    with (lines / "labels.tsv").open("a") as file:
        file.write(f"broken.png\tABC\nmissing.png\tDEF\n00.png\t\n01.png\t{'long ' * 60}\n")
    alphabet = Alphabet("ABCDEFGH123456789long")
    with pytest.raises(LabelError) as told:
        check(lesson(lines), alphabet, lambda _: None)
    for name in ("4 of 34", "broken.png", "missing.png", "00.png", "01.png", "--skip-bad"):
        assert name in str(told.value)
    said: list[str] = []
    samples, _ = check(lesson(lines, skip_bad=True), alphabet, said.append)
    assert len(samples) == 30
    assert "left out 4" in said[-1]


def test_characters_of_the_labels_join_those_of_the_base(lines: Path) -> None:
    base, said = Alphabet("ABCxyz"), list[str]()
    _, more = check(lesson(lines), base, said.append)
    assert "".join(more.characters[:6]) == "ABCxyz"
    assert set(more.characters) == set("ABCxyzDEFGH123456789")
    assert "learnt from nothing" in said[0]
    _, only = check(lesson(lines, only_these=True), base, said.append)
    assert set(only.characters) == set("ABCDEFGH123456789")


def test_too_few_lines(tmp_path: Path, lines: Path) -> None:
    (lines / "labels.tsv").write_text("00.png\tABC\n")
    with pytest.raises(LabelError, match="1 lines to train on"):
        check(lesson(lines), Alphabet("ABC"), lambda _: None)


def test_parts_are_disjoint_and_the_same_each_time(lines: Path) -> None:
    samples, _ = check(lesson(lines), Alphabet("ABCDEFGH123456789"), lambda _: None)
    parts = part(samples, 0.2)
    assert (len(parts.learn), len(parts.choose), len(parts.judge)) == (18, 6, 6)
    again = part(dict(reversed(samples.items())), 0.2)
    assert [text for _, text in parts.judge] == [text for _, text in again.judge]
    ids = [id(image) for image, _ in parts.learn + parts.choose + parts.judge]
    assert len(set(ids)) == 30


def test_the_last_layers_rows_go_with_their_characters(tmp_path: Path) -> None:
    start = base_checkpoint("crnn-en")
    network, known, kept = load_network(start)
    from ocrfarm_models.training.config import TrainConfig

    alphabet = Alphabet([*reversed(known.characters), "Ж"])
    trainer = Trainer(TrainConfig.from_dict(dict(kept["config"])), alphabet, tmp_path)  # type: ignore[call-overload]  # what torch.load gives has no type
    adopt(trainer, start, known, alphabet)
    theirs, mine = network.state_dict()["head.weight"], trainer.network.state_dict()["head.weight"]
    for char in "aQ7é":
        assert (mine[alphabet.number[char]] == theirs[known.number[char]]).all()
    assert (mine[0] == theirs[0]).all()
    assert (trainer.network.state_dict()["lstm.weight_ih_l0"] == network.state_dict()["lstm.weight_ih_l0"]).all()


def test_a_base_without_weights_is_told() -> None:
    with pytest.raises(Unfit, match="crnn-en"):
        base_checkpoint("ppocrv6-rec")


@pytest.mark.slow
def test_from_a_folder_to_a_profile(state: Path, lines: Path) -> None:
    said: list[str] = []
    told = teach(lesson(lines, even_if_worse=True), said.append)
    assert "--profile mine" in told
    assert any("crnn-en on the held-out lines" in line for line in said)
    assert set(registry.row("mine").figures) == {"held_out_exact", "held_out_char", "base_exact", "base_char"}
    assert profiles.get_profile("mine").languages == ("en",)
    assert registry.resolve("mine").path.is_file()
    assert registry.resolve("mine").input == registry.resolve("crnn-en").input
    assert base_checkpoint("mine") == state / "own-models" / "mine" / CHECKPOINT
    with pytest.raises(Unfit, match="--replace"):
        teach(lesson(lines), said.append)


def test_the_command_tells_of_bad_labels(state: Path, lines: Path) -> None:
    from ocrfarm.cli import build

    (lines / "labels.tsv").write_text("00.png ABC\n")
    done = CliRunner().invoke(build(), ["train", "--data", str(lines), "--name", "mine"])
    assert done.exit_code == 1
    assert "labels.tsv line 1: no tab" in done.output
