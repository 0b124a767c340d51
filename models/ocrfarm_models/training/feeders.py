"""Which feeder a run draws its batches from, and the one that composes lines while it trains."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ocrfarm_models.line_image import padded_columns
from ocrfarm_models.training import atlas
from ocrfarm_models.training.alphabet import Alphabet
from ocrfarm_models.training.batches import Batch, Feeder, collate
from ocrfarm_models.training.chinese import ChineseCorpus
from ocrfarm_models.training.compose import Composed, Composer, marks
from ocrfarm_models.training.config import TrainConfig
from ocrfarm_models.training.rule import LINE_RULE, STRIDE
from ocrfarm_models.training.shards import Sample

LINES_A_ROUND = 256


class Feeds(Protocol):
    """Gives batches; `used` says how often each shard was read."""

    used: dict[str, int]

    def round(self, progress: float) -> Iterator[Batch]:
        """Yield the batches of one round; `progress` is how much of the schedule is behind us, 0..1."""
        ...


@dataclass(frozen=True)
class Sources:
    """Where samples come from: rendered shards, real lines, one fixed set; atlases and assets to compose lines from."""

    shards: Path
    real: list[Sample] = field(default_factory=list)
    words: list[Sample] | None = None
    atlases: Path | None = None
    assets: Path | None = None


def open_feeder(config: TrainConfig, alphabet: Alphabet, sources: Sources, seed: int) -> Feeds:
    """Return the feeder that the configuration asks for."""
    rendered = Feeder(config, alphabet, sources.shards, sources.real, sources.words, seed)
    if not config.composed:
        return rendered
    if sources.atlases is None or sources.assets is None:
        raise ValueError(f"[{config.name}] composes its lines: say --atlases and --assets")
    composer = Composer(atlas.load(sources.atlases), ChineseCorpus(sources.assets), alphabet, seed)
    return ComposedFeeder(config, alphabet, composer, rendered, seed)


class ComposedFeeder:
    """Lines composed as they are needed, none of them twice, among them batches of rendered Latin shards."""

    def __init__(
        self, config: TrainConfig, alphabet: Alphabet, composer: Composer, rendered: Feeder, seed: int
    ) -> None:
        self.config, self.alphabet, self.composer, self.rendered = config, alphabet, composer, rendered
        self.used = rendered.used
        self.rng = random.Random(seed)  # noqa: S311 - nothing secret is drawn
        self._waiting: Iterator[Batch] = iter(())

    def _shards(self, progress: float) -> Batch:
        batch = next(self._waiting, None)
        while batch is None:
            self._waiting = self.rendered.round(progress)
            batch = next(self._waiting, None)
        return batch

    def round(self, progress: float) -> Iterator[Batch]:
        """Yield the batches of 256 new lines, and of as many shards as `shard_share` says."""
        lines = [self.composer.draw() for _ in range(LINES_A_ROUND)]
        for group in grouped(lines, self.config.columns_a_batch, self.rng):
            if self.rng.random() < self.config.shard_share:
                yield self._shards(progress)
            yield collate_composed(group, self.alphabet)


def grouped(lines: Sequence[Composed], columns: int, rng: random.Random) -> list[list[Composed]]:
    """Group lines of like width within a budget of padded columns; groups in random order."""
    groups: list[list[Composed]] = [[]]
    for line in sorted(lines, key=lambda a: a.image.shape[1] * rng.uniform(0.92, 1.08)):
        widest = (
            max(line.image.shape[1], *(a.image.shape[1] for a in groups[-1])) if groups[-1] else line.image.shape[1]
        )
        if groups[-1] and padded_columns(widest, LINE_RULE) * (len(groups[-1]) + 1) > columns:
            groups.append([])
        groups[-1].append(line)
    rng.shuffle(groups)
    return groups


def collate_composed(lines: Sequence[Composed], alphabet: Alphabet) -> Batch:
    """Put composed lines side by side, with what each step should say."""
    batch = collate([(line.image, line.text) for line in lines], alphabet)
    steps = batch.x.shape[3] // STRIDE
    said = np.zeros((len(lines), steps), np.int64)
    for row, line in zip(said, lines, strict=True):
        own = line.image.shape[1] // STRIDE
        placed = marks(alphabet.encode(line.text), line.columns, own)
        assert placed is not None, "the composer keeps only lines that fit"
        row[:own] = placed
    return Batch(batch.x, batch.targets, batch.lengths, batch.texts, torch.from_numpy(said))
