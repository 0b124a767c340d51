"""Samples to batches: shards are loaded a few at a time, varied a little, sorted by width, cut by a budget of columns."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from ocrfarm_models.line_image import padded_columns, to_batch
from ocrfarm_models.training.alphabet import Alphabet, steps_needed
from ocrfarm_models.training.config import Augment, TrainConfig
from ocrfarm_models.training.rule import LINE_RULE, STRIDE
from ocrfarm_models.training.shards import Sample, read


@dataclass(frozen=True)
class Batch:
    """One step's worth: `x` float32 N x 1 x 32 x W, targets concatenated (int32), their lengths (int32 N), the texts.

    `marks` (int64 N x T), where the places of the characters are known: what each step should say (`compose.marks`).
    """

    x: torch.Tensor
    targets: torch.Tensor
    lengths: torch.Tensor
    texts: list[str]
    marks: torch.Tensor | None = None


def vary(image: np.ndarray, how: Augment, rng: random.Random) -> np.ndarray:
    """Return a changed copy of a uint8 32 x W sample; its width may change, its height does not."""
    h, w = image.shape
    if how.stretch and rng.random() < 0.5:
        w = max(8, round(w * rng.uniform(1 - how.stretch, 1 + how.stretch)))
        image = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    if how.shift and rng.random() < 0.4:
        by = rng.randint(-how.shift, how.shift)
        image = np.concatenate([image[:1].repeat(by, 0), image[:-by]]) if by > 0 else image
        image = np.concatenate([image[-by:], image[-1:].repeat(-by, 0)]) if by < 0 else image
    if rng.random() < how.invert:
        image = 255 - image
    if how.noise and rng.random() < 0.3:
        grain = np.random.default_rng(rng.getrandbits(32)).standard_normal(image.shape, np.float32)
        image = np.clip(image + grain * (255 * rng.uniform(0, how.noise)), 0, 255).astype(np.uint8)
    return image


def collate(samples: Sequence[Sample], alphabet: Alphabet) -> Batch:
    """Put samples side by side as the serving code does."""
    codes = [alphabet.encode(text) for _, text in samples]
    return Batch(
        x=torch.from_numpy(to_batch([image for image, _ in samples], LINE_RULE)),
        targets=torch.tensor([c for code in codes for c in code], dtype=torch.int32),
        lengths=torch.tensor([len(code) for code in codes], dtype=torch.int32),
        texts=[text for _, text in samples],
    )


def by_width(samples: Sequence[Sample], columns: int, rng: random.Random | None = None) -> list[list[Sample]]:
    """Group samples of like width so that a group's padded columns stay within the budget; groups in random order."""
    jitter = (lambda w: w * rng.uniform(0.92, 1.08)) if rng else (lambda w: w)
    ordered = sorted(samples, key=lambda s: jitter(s[0].shape[1]))
    groups: list[list[Sample]] = []
    group: list[Sample] = []
    widest = 0
    for sample in ordered:
        wider = max(widest, padded_columns(sample[0].shape[1], LINE_RULE))
        if group and wider * (len(group) + 1) > columns:
            groups.append(group)
            group, wider = [], padded_columns(sample[0].shape[1], LINE_RULE)
        group.append(sample)
        widest = wider
    if group:
        groups.append(group)
    if rng:
        rng.shuffle(groups)
    return groups


class Feeder:
    """Endless batches from a folder of shards. New word and line shards come first, then those used least."""

    def __init__(self, config: TrainConfig, alphabet: Alphabet, shards: Path, real: list[Sample],
                 words: list[Sample] | None = None, seed: int | None = None) -> None:  # fmt: skip
        self.config, self.alphabet, self.shards, self.real, self.words = config, alphabet, shards, real, words
        self.used: dict[str, int] = {}
        self.rng = random.Random(config.seed if seed is None else seed)  # noqa: S311 - nothing secret is drawn

    def _next(self, kind: str) -> list[Sample]:
        files = sorted(p for p in self.shards.glob(f"{kind}-*.npz") if ".tmp" not in p.name)
        if not files:
            return []
        least = min(self.used.get(p.name, 0) for p in files)
        path = self.rng.choice([p for p in files if self.used.get(p.name, 0) == least])
        self.used[path.name] = least + 1
        return read(path)

    def round(self, progress: float) -> Iterator[Batch]:
        """Yield the batches of one round; `progress` is how much of the schedule is behind us, 0..1."""
        config, rng = self.config, self.rng
        if self.words is not None:
            samples = list(self.words)
        else:
            samples = [s for _ in range(config.shards_a_round) for s in self._next("word")]
            if not samples:
                raise FileNotFoundError(f"no word shards in {self.shards}: run ocrfarm_models.training.shards first")
            if progress < config.glyph_until:
                samples = self._next("glyph") or samples
            elif progress < config.short_until:
                samples = [s for s in samples if s[0].shape[1] <= config.short_columns]
            else:
                count = len(samples) / (1 - config.line_share - config.real_share)
                lines = self._next("line")
                samples += rng.sample(lines, min(len(lines), int(count * config.line_share)))
                samples += [rng.choice(self.real) for _ in range(int(count * config.real_share)) if self.real]
        varied = [(vary(image, config.augment, rng), text) for image, text in samples]
        fitting = [s for s in varied if s[0].shape[1] // STRIDE >= steps_needed(s[1])]
        for group in by_width(fitting, config.columns_a_batch, rng):
            yield collate(group, self.alphabet)
