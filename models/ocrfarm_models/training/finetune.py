"""`ocrfarm train`: a recogniser learns a person's own lines, is judged on lines that it never saw, and is registered.

The labels are checked first, all of them. The lines are parted by a hash of their names: one part is held out and judged by, once with
the base and once with what was made of it, both through the farm's own recogniser; a part as large chooses the best weights on the way; the
rest is learnt from. Another run with the same folder parts them in the same way.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import torch

from ocrfarm_models import own, registry
from ocrfarm_models.offer import Offer, Unfit
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_models.training.alphabet import Alphabet, clean
from ocrfarm_models.training.config import TrainConfig
from ocrfarm_models.training.evaluate import Served
from ocrfarm_models.training.export import check_parity, export, load_network, metadata
from ocrfarm_models.training.feeders import Sources, open_feeder
from ocrfarm_models.training.folders import LabelError, listed, load
from ocrfarm_models.training.quantise import LOSS_ALLOWED, int8
from ocrfarm_models.training.rule import LINE_RULE
from ocrfarm_models.training.scores import Score, wilson
from ocrfarm_models.training.shards import Sample
from ocrfarm_models.training.train import Trainer, run
from ocrfarm_shared.settings import settings

CHECKPOINT = "checkpoint.pt"
SHOWN = 20
STEPS_AN_EPOCH, LEAST_COLUMNS = 64, 512
LEAST = 10  # lines; with fewer there is nothing to judge by


@dataclass(frozen=True)
class Lesson:
    """What was asked for; `hold_out` is a share, `only_these` leaves out the base's characters that no label has."""

    data: Path
    name: str
    base: str
    minutes: float
    hold_out: float
    only_these: bool
    skip_bad: bool
    threads: int
    layout: str
    even_if_worse: bool
    replace: bool


@dataclass(frozen=True)
class Parts:
    """The labelled lines, parted."""

    learn: list[Sample]
    choose: list[Sample]
    judge: list[Sample]


def teach(lesson: Lesson, tell: Callable[[str], None]) -> str:
    """Train and register; return what to tell at the end. Raises LabelError, Unfit, ModelUnavailable, OSError."""
    own.check_name(lesson.name, replace_old=lesson.replace)
    start = base_checkpoint(lesson.base)
    _, known, kept = load_network(start)
    samples, alphabet = check(lesson, known, tell)
    parts = part(samples, lesson.hold_out)
    tell(f"{len(parts.learn)} lines to learn from, {len(parts.choose)} to choose by, {len(parts.judge)} held out; "
         f"{len(alphabet.characters)} characters")  # fmt: skip
    # A base that lacks characters of the labels reads these lines wrong: that is what it is asked.
    before = judged(Recognizer.open(registry.resolve(lesson.base)), parts.judge)
    tell(f"{lesson.base} on the held-out lines: {told(before)}")
    out = settings().state / "training" / lesson.name
    best = learn(lesson, kept, known, alphabet, parts, start, out)
    served = smallest(best, out, parts, tell)
    after = judged(Served(served).recognizer, parts.judge)
    tell(f"{lesson.name} on the held-out lines: {told(after)}")
    figures = {
        "held_out_exact": after.exact,
        "held_out_char": after.char,
        "base_exact": before.exact,
        "base_char": before.char,
    }
    if (after.exact, after.char) < (before.exact, before.char) and not lesson.even_if_worse:
        raise Unfit(
            f"{lesson.name} reads the held-out lines worse than {lesson.base} does, so it is not registered. Train longer "
            f"(--minutes), on more lines, or say --even-if-worse; its weights stay in {out}."
        )
    # How close its crops are cut it has from its base.
    rule = replace(LINE_RULE, trim=registry.resolve(lesson.base).input.trim)
    offer = Offer(f"{lesson.base}, taught the lines of {lesson.data.absolute().name}", "your own", 0, rule,
                  languages=registry_languages(lesson.base))  # fmt: skip
    own.add(lesson.name, served, alphabet.characters, offer, replace_old=lesson.replace,
            figures={k: round(v, 4) for k, v in figures.items()}, beside={CHECKPOINT: best})  # fmt: skip
    shutil.rmtree(out)
    return f"{lesson.name} is registered. Read with it: `ocrfarm read --profile {lesson.name} FILE`."


def registry_languages(base: str) -> tuple[str, ...]:
    """The languages that a profile which reads with the base alone names, if there is one."""
    from ocrfarm_shared.profiles import profiles

    return next((p.languages for p in profiles().values() if p.recognizer == base and not p.first), ())


def base_checkpoint(base: str) -> Path:
    """The weights to start from: those beside a published model, or those of a model that was taught here. Raises Unfit."""
    shipped = Path(registry.__file__).parent / "weights" / "checkpoints"
    taught = settings().own_models_folder
    known = {p.stem: p for p in sorted(shipped.glob("*.pt"))} | {
        p.parent.name: p for p in sorted(taught.glob(f"*/{CHECKPOINT}"))
    }
    if base not in known:
        raise Unfit(f"There are no weights to train {base!r} on from; there are those of: {', '.join(known)}.")
    return known[base]


def check(lesson: Lesson, known: Alphabet, tell: Callable[[str], None]) -> tuple[dict[str, Sample], Alphabet]:
    """Every line by its file's name, and the alphabet to train with. Raises LabelError that names each bad file."""
    rows = list(listed(lesson.data, lesson.layout))
    used = {c for _, text in rows for c in clean(text)}
    more = sorted(used - set(known.characters))
    characters = [c for c in known.characters if c in used or not lesson.only_these] + more
    if more:
        tell(f"{len(more)} characters that {lesson.base} does not know, learnt from nothing: {' '.join(more)}")
    alphabet, samples, bad = Alphabet(characters), {}, []
    for path, text in rows:
        try:
            samples[str(path.relative_to(lesson.data))] = load(path, text, alphabet)
        except LabelError as error:
            bad.append(str(error))
    if bad:
        shown = "\n  ".join(bad[:SHOWN]) + (f"\n  and {len(bad) - SHOWN} more" if len(bad) > SHOWN else "")
        if not lesson.skip_bad:
            raise LabelError(
                f"{len(bad)} of {len(rows)} lines cannot be trained on; mend them, or leave them out with --skip-bad:\n  {shown}"
            )
        tell(f"left out {len(bad)} of {len(rows)} lines:\n  {shown}")
    if len(samples) < LEAST:
        raise LabelError(
            f"{lesson.data} has {len(samples)} lines to train on; {LEAST} are the least, some hundred are better."
        )
    return samples, alphabet


def part(samples: dict[str, Sample], share: float) -> Parts:
    """The lines by a hash of their names: as many to judge and to choose by as `share` says, one each at least."""
    order = sorted(samples, key=lambda name: hashlib.sha256(name.encode()).digest())
    count = max(1, round(len(order) * share))
    lines = [samples[name] for name in order]
    return Parts(judge=lines[:count], choose=lines[count : 2 * count], learn=lines[2 * count :])


def learn(
    lesson: Lesson, kept: dict[str, object], known: Alphabet, alphabet: Alphabet, parts: Parts, start: Path, out: Path
) -> Path:
    """Train from the base's weights until the time is up; the checkpoint with the best reading of the lines to choose by."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    config = TrainConfig.from_dict(dict(kept["config"]))  # type: ignore[call-overload]  # what torch.load gives has no type
    minutes = lesson.minutes / 8
    # A few hundred lines are few steps an epoch: small batches, and a warm-up that ends within the first minutes.
    columns = sum(image.shape[1] for image, _ in parts.learn) // STEPS_AN_EPOCH
    config = replace(
        config,
        name=lesson.name,
        columns_a_batch=min(config.columns_a_batch, max(columns, LEAST_COLUMNS)),
        peak_rate=config.peak_rate / 2,
        warmup_steps=20,
        ema=0.98,
        threads=lesson.threads,
        helpers=0,
        composed=False,
        glyph_until=0.0,
        short_until=0.0,
        checkpoint_minutes=minutes,
        evaluate_minutes=minutes,
    )
    trainer = Trainer(config, alphabet, out)
    adopt(trainer, start, known, alphabet)
    sources = Sources(out, words=parts.learn)
    feeder = open_feeder(config, alphabet, sources, config.seed)
    end = datetime.now(UTC) + timedelta(minutes=lesson.minutes)
    run(trainer, feeder, sources, {"chosen": parts.choose}, end, None)
    best = out / "best.pt"
    if not best.exists():
        raise Unfit("The training was stopped before its first weights were kept; nothing is registered.")
    return best


def adopt(trainer: Trainer, start: Path, known: Alphabet, alphabet: Alphabet) -> None:
    """Take the base's weights; the last layers' rows go with their characters, which may stand in another order or be new."""
    theirs = torch.load(start, weights_only=True)["average"]
    mine = trainer.network.state_dict()
    rows = [(alphabet.number[c], known.number[c]) for c in alphabet.characters if c in known.number] + [(0, 0)]
    to, of = (torch.tensor(side) for side in zip(*rows, strict=True))
    for key, value in mine.items():
        old = theirs.get(key)
        if old is None:
            continue
        if old.shape == value.shape and len(value.shape) and value.shape[0] != len(alphabet):
            mine[key] = old.to(value.dtype)
        elif (
            value.ndim
            and value.shape[0] == len(alphabet)
            and old.shape[0] == len(known)
            and old.shape[1:] == value.shape[1:]
        ):
            value[to] = old[of].to(value.dtype)
        elif old.shape == value.shape:
            mine[key] = old.to(value.dtype)
    trainer.network.load_state_dict(mine)
    trainer.average.state = {k: v.detach().clone() for k, v in trainer.network.state_dict().items()}


def smallest(best: Path, out: Path, parts: Parts, tell: Callable[[str], None]) -> Path:
    """The ONNX file to serve: 8 bits, where that loses next to nothing on the lines to choose by, else 32."""
    network, alphabet, kept = load_network(best)
    full, small = out / "model.onnx", out / "model-int8.onnx"
    export(network, full, metadata(alphabet, kept))
    check_parity(network, full)
    int8(full, small, parts.learn[:256])
    exact, exact8 = (judged(Served(path).recognizer, parts.choose).exact for path in (full, small))
    if exact - exact8 > LOSS_ALLOWED:
        tell(f"8 bits would lose {exact - exact8:.3f} of the exact lines: served in 32 bits")
        return full
    return small


def judged(recognizer: Recognizer, samples: Sequence[Sample]) -> Score:
    """How a recogniser reads labelled lines."""
    try:
        read = recognizer.read([image for image, _ in samples])
    finally:
        recognizer.close()
    return Score.of([(text, line.text) for (_, text), line in zip(samples, read, strict=True)])


def told(score: Score) -> str:
    """A score in words."""
    low, high = wilson(score.exact * score.n, score.n)
    return f"{score.exact:.3f} of {score.n} lines exact ({low:.3f} to {high:.3f}), {score.char:.3f} of the characters"
