"""Train a recogniser: `python -m ocrfarm_models.training.train crnn-en --shards runs/shards --out runs/crnn-en --minutes 120`.

Stops at `--until` (HH:MM UTC) or after `--minutes`; the learning rate follows the clock (warm-up, then a cosine to the stop),
because on a shared machine the number of steps that a night gives is not known before. SIGTERM and Ctrl-C save and end; the same
command goes on from `last.pt`. `best.pt` holds the averaged weights with the best validation score, with config, characters and history.
"""

from __future__ import annotations

import argparse
import csv
import logging
import random
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.multiprocessing as processes
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ocrfarm_models.training.alphabet import ALPHABETS, Alphabet
from ocrfarm_models.training.config import DEFAULT, TrainConfig, load_config
from ocrfarm_models.training.feeders import Feeds, Sources, open_feeder
from ocrfarm_models.training.learning import Average, Learner, help_learn, rate
from ocrfarm_models.training.networks import build
from ocrfarm_models.training.reading import Reader
from ocrfarm_models.training.scores import Score
from ocrfarm_models.training.shards import Sample, read, wait_while

log = logging.getLogger(__name__)


class Trainer:
    """Network, optimiser, averages and clock of one run."""

    def __init__(self, config: TrainConfig, alphabet: Alphabet, out: Path) -> None:
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads)
        cv2.setNumThreads(1)
        self.config, self.alphabet, self.out = config, alphabet, out
        self.network = build(config.network, len(alphabet), **config.network_options).to(
            memory_format=torch.channels_last
        )
        self.average = Average(self.network, config.ema)
        self.network.share_memory()
        self.learner = Learner(self.network, config)
        self.step = self.samples = 0
        self.seconds = self.progress = self.best = 0.0
        self.used: dict[str, int] = {}
        self.history: list[dict[str, float]] = []

    # -- keeping ----------------------------------------------------------------------------------------------------------

    def checkpoint(self, full: bool) -> dict[str, Any]:
        """Return what a file keeps: `full` to go on exactly, else the averaged weights to read with or start from."""
        kept = {"config": self.config.as_dict(), "characters": self.alphabet.characters, "step": self.step, "samples": self.samples,
                "seconds": self.seconds, "history": self.history, "average": self.average.state}  # fmt: skip
        if full:
            kept |= {"network": self.network.state_dict(), "optimiser": self.learner.optimiser.state_dict(), "progress": self.progress,
                     "best": self.best, "used": self.used, "average_steps": self.average.steps}  # fmt: skip
        return kept

    def save(self, name: str, full: bool) -> None:
        """Write a checkpoint under a temporary name and rename it."""
        scratch = self.out / f"{name}.tmp"
        torch.save(self.checkpoint(full), scratch)
        scratch.rename(self.out / name)

    def resume(self, path: Path) -> None:
        """Go on from a full checkpoint."""
        kept = torch.load(path, weights_only=True)
        self.network.load_state_dict(kept["network"])
        self.learner.optimiser.load_state_dict(kept["optimiser"])
        self.average.state, self.average.steps = kept["average"], kept["average_steps"]
        for key in ("step", "samples", "seconds", "progress", "best", "used", "history"):
            setattr(self, key, kept[key])
        log.info("resumed at step %d, %d samples", self.step, self.samples)

    def warm_start(self, path: Path) -> None:
        """Take the weights of another model wherever names and shapes agree: Latin before mixed scripts, print before a domain."""
        kept = torch.load(path, weights_only=True)
        theirs = kept.get("network", kept["average"])
        mine = self.network.state_dict()
        taken = {k: v for k, v in theirs.items() if k in mine and mine[k].shape == v.shape}
        self.network.load_state_dict(mine | taken)
        self.average = Average(self.network, self.config.ema)
        log.info("warm start: %d of %d tensors from %s", len(taken), len(mine), path)

    def place_classes(self, path: Path) -> None:
        """Let the head start from the classes' prototypes."""
        with np.load(path) as file:
            for key in ("weight", "bias"):
                self.network.state_dict()[f"head.{key}"].copy_(torch.from_numpy(file[key]))
        self.average = Average(self.network, self.config.ema)

    # -- judging ----------------------------------------------------------------------------------------------------------

    def validate(self, sets: dict[str, list[Sample]]) -> dict[str, float]:
        """Read the validation sets with the averaged weights; the mean of their word or character scores is what 'best' means."""
        network = build(self.config.network, len(self.alphabet), **self.config.network_options)
        network.load_state_dict(self.average.state)
        reader = Reader(network, self.alphabet)
        row: dict[str, float] = {}
        for name, samples in sets.items():
            score = Score.of(
                [(text, got.text) for (_, text), got in zip(samples, reader.read([i for i, _ in samples]), strict=True)]
            )
            row |= {f"{name}_ci": score.ci, f"{name}_exact": score.exact, f"{name}_char": score.char}
        kind = "char" if self.config.composed else "exact"
        row["score"] = float(np.mean([row[f"{name}_{kind}"] for name in sets]))
        return row

    def note(self, row: dict[str, float], board: SummaryWriter) -> None:
        """Add a row to the history, the CSV and TensorBoard; keep the best weights."""
        speed = rate(self.config, self.step, self.progress)
        row = {"step": self.step, "samples": self.samples, "minutes": round(self.seconds / 60, 2), "rate": speed, **row}
        self.history.append({k: round(v, 6) for k, v in row.items()})
        with (self.out / "history.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(k for r in self.history for k in r)))
            writer.writeheader()
            writer.writerows(self.history)
        for key, value in row.items():
            board.add_scalar(key, value, self.step)
        log.info(" ".join(f"{k} {v:.4g}" for k, v in row.items()))
        if row["score"] >= self.best:
            self.best = row["score"]
            self.save("best.pt", full=False)


def deadline(args: argparse.Namespace) -> datetime:
    """Return the moment at which the schedule ends."""
    now = datetime.now(UTC)
    if not args.until:
        return now + timedelta(minutes=args.minutes)
    hour, minute = (int(x) for x in args.until.split(":"))
    end = now.replace(hour=hour, minute=minute, second=0)
    return end if end > now else end + timedelta(days=1)


def run(
    trainer: Trainer, feeder: Feeds, sources: Sources, sets: dict[str, list[Sample]], end: datetime, pause: Path | None
) -> None:
    """Learn until the deadline, helpers beside; write checkpoints and figures on the way."""
    config, board = trainer.config, SummaryWriter(str(trainer.out / "tensorboard"))
    feeder.used = trainer.used
    clock = torch.zeros(3 + 2 * config.helpers, dtype=torch.float64).share_memory_()
    state = trainer.learner.optimiser.state_dict() if trainer.step else None
    helpers = processes.start_processes(
        _helper, (config, trainer.alphabet.characters, trainer.network, clock, sources, pause, state),
        nprocs=config.helpers, join=False, daemon=True, start_method="spawn")  # fmt: skip
    saved = judged = last = time.monotonic()
    mean, counted = 0.0, 0.0
    bar = tqdm(desc=config.name, unit="sample", mininterval=20, initial=trainer.samples)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: asked.append(number))
    while datetime.now(UTC) < end and not asked:
        if config.helpers:
            helpers.join(timeout=0)  # raises when a helper has failed
        for batch in feeder.round(trainer.progress):
            last += wait_while(pause)
            loss = trainer.learner.learn(batch, rate(config, trainer.step, trainer.progress), trainer.progress)
            mean = loss if not mean else 0.98 * mean + 0.02 * loss
            trainer.average.follow(trainer.network)
            helped = float(clock[4::2].sum())
            trainer.samples += len(batch.texts) + int(helped - counted)
            bar.update(len(batch.texts) + int(helped - counted))
            counted = helped
            trainer.step += 1
            now = time.monotonic()
            spent = min(now - last, 30.0)  # a stopped process does not count as training
            last = now
            left = max((end - datetime.now(UTC)).total_seconds(), 1.0)
            trainer.seconds += spent
            trainer.progress += (1 - trainer.progress) * min(1.0, spent / (left + spent))
            clock[0], clock[1] = trainer.progress, trainer.step
            bar.set_postfix(loss=f"{mean:.3f}", step=trainer.step, progress=f"{trainer.progress:.2f}", refresh=False)
            if now - saved > config.checkpoint_minutes * 60:
                trainer.save("last.pt", full=True)
                saved = now
            if now - judged > config.evaluate_minutes * 60:
                trainer.note({"loss": mean, **trainer.validate(sets)}, board)
                judged = last = time.monotonic()
            if datetime.now(UTC) >= end or asked:
                break
    clock[2] = 1
    trainer.save("last.pt", full=True)
    if asked:
        log.info("asked to stop: saved at step %d", trainer.step)
        return
    trainer.note({"loss": mean, **trainer.validate(sets)}, board)
    board.close()


def _helper(index: int, *args: Any) -> None:
    help_learn(index + 1, *args)


def main() -> None:
    """Parse options, resume or start, train."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("name", help="a table of the configuration file")
    ap.add_argument("--config", type=Path, default=DEFAULT)
    ap.add_argument("--shards", type=Path, default=Path("runs/shards"))
    ap.add_argument("--atlases", type=Path, help="glyph atlases, for a table with `composed`")
    ap.add_argument("--assets", type=Path, help="fonts and texts, for a table with `composed`")
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--minutes", type=float, default=120)
    ap.add_argument("--until", help="HH:MM UTC, instead of --minutes")
    ap.add_argument("--base", type=Path, help="a checkpoint to warm-start from")
    ap.add_argument("--prototypes", type=Path, help="what the head of `refined` starts from")
    ap.add_argument("--pause", type=Path, help="training sleeps while this file exists")
    args = ap.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args.out.mkdir(parents=True, exist_ok=True)
    config = load_config(args.name, args.config)
    random.seed(config.seed)
    alphabet = Alphabet(ALPHABETS[config.alphabet])
    trainer = Trainer(config, alphabet, args.out)
    if (args.out / "last.pt").exists():
        trainer.resume(args.out / "last.pt")
    elif args.base:
        trainer.warm_start(args.base)
    if args.prototypes and not trainer.step:
        trainer.place_classes(args.prototypes)
    real = read(args.shards / "real.npz") if (args.shards / "real.npz").exists() else []
    sets = {p.stem.removeprefix("val_"): read(p) for p in sorted(args.shards.glob("val_*.npz"))}
    words = read(args.shards / "all.npz") if (args.shards / "all.npz").exists() else None
    sources = Sources(args.shards, real, words, args.atlases, args.assets)
    run(trainer, open_feeder(config, alphabet, sources, config.seed), sources, sets, deadline(args), args.pause)


if __name__ == "__main__":
    main()
