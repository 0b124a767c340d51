"""Backgrounds: grey pictures that look like walls, wood, sky, paper, leaves and out-of-focus photographs, all synthesised."""

from __future__ import annotations

import cv2
import numpy as np

HEIGHT, WIDTH = 160, 640  # pixels of one background picture


def _cloud(rng: np.random.Generator, coarse: int, roughness: float) -> np.ndarray:
    """Return fractal noise 0..1, float32 HEIGHT x WIDTH: octaves of small random pictures, enlarged and summed."""
    total = np.zeros((HEIGHT, WIDTH), np.float32)
    weight, cell = 1.0, coarse
    while cell >= 1 and weight > 0.02:
        small = rng.random((HEIGHT // cell + 2, WIDTH // cell + 2), np.float32)
        total += weight * cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        weight *= roughness
        cell //= 2
    return cv2.normalize(total, None, 0.0, 1.0, cv2.NORM_MINMAX)


def _leaves(rng: np.random.Generator) -> np.ndarray:
    """Return a dead-leaves picture: overlapping shapes of all sizes have the edge statistics of photographs."""
    picture = np.full((HEIGHT, WIDTH), rng.random(), np.float32)
    for _ in range(int(rng.integers(30, 250))):
        size = float(np.clip(4 / max(rng.random(), 0.02), 4, 150))
        centre = (int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT)))
        tone = float(rng.random())
        if rng.random() < 0.5:
            axes = (int(size), int(size * rng.uniform(0.3, 1)))
            cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, tone, -1, cv2.LINE_AA)
        else:
            points = (np.array(centre) + rng.normal(0, size, (int(rng.integers(3, 6)), 2))).astype(np.int32)
            cv2.fillPoly(picture, [points], tone, cv2.LINE_AA)
    return picture


def _bricks(rng: np.random.Generator) -> np.ndarray:
    """Return rows of bricks, planks or tiles with joints of another tone."""
    picture = np.full((HEIGHT, WIDTH), rng.random(), np.float32)
    high, wide = int(rng.integers(6, 50)), int(rng.integers(14, 260))
    joint, tone, spread = int(rng.integers(1, 4)), rng.random(), rng.uniform(0.02, 0.2)
    for row, y in enumerate(range(0, HEIGHT, high)):
        for x in range(-(row % 2) * wide // 2, WIDTH, wide):
            shade = float(np.clip(tone + rng.normal(0, spread), 0, 1))
            cv2.rectangle(picture, (x + joint, y + joint), (x + wide - 1, y + high - 1), shade, -1)
    return picture


def _stripes(rng: np.random.Generator) -> np.ndarray:
    """Return waves: blinds, corrugated metal, cloth, halftone."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    angle, length = rng.uniform(0, np.pi), rng.uniform(4, 60)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / length)
    return ((wave > rng.uniform(-0.5, 0.5)) if rng.random() < 0.5 else (wave + 1) / 2).astype(np.float32)


def _grain(rng: np.random.Generator) -> np.ndarray:
    """Return wood or brushed metal: noise drawn out along the rows."""
    noise = rng.random((HEIGHT, WIDTH // 16), np.float32)
    return cv2.GaussianBlur(cv2.resize(noise, (WIDTH, HEIGHT)), (int(rng.integers(2, 20)) * 2 + 1, 1), 0)


def backgrounds(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return `count` pictures as uint8, count x HEIGHT x WIDTH, each a mixture of the kinds above."""
    out = np.empty((count, HEIGHT, WIDTH), np.uint8)
    for i in range(count):
        kinds = [
            _leaves,
            _leaves,
            _bricks,
            _stripes,
            _grain,
            lambda g: _cloud(g, int(g.integers(8, 96)), g.uniform(0.4, 0.9)),
        ]
        picture = kinds[int(rng.integers(len(kinds)))](rng)
        light = _cloud(rng, 64, 0.5)
        picture = (
            picture * rng.uniform(0.3, 1)
            + light * rng.uniform(0, 0.8)
            + rng.normal(0, rng.uniform(0, 0.08), picture.shape)
        )
        if rng.random() < 0.5:
            picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 4))
        out[i] = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return out
