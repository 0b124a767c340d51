"""One step of learning, the average of the weights, and helper processes that learn on the same weights.

Two processes of one thread each beat one process of two threads where cores are shared with other work: threads wait for each
other at every layer, processes never do. The helpers follow Hogwild (Niu et al., 2011): the weights lie in shared memory, each
process has its own AdamW state and its own batches, and nobody takes a lock.
"""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import cv2
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from ocrfarm_models.training.alphabet import Alphabet
from ocrfarm_models.training.batches import Batch, Feeder
from ocrfarm_models.training.config import TrainConfig
from ocrfarm_models.training.shards import Sample, wait_while


def rate(config: TrainConfig, step: int, progress: float) -> float:
    """Return the learning rate: linear warm-up by steps, then a cosine by progress (0..1) down to a hundredth."""
    warm = min(1.0, (step + 1) / config.warmup_steps)
    return config.peak_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


class Average:
    """An exponential moving average of weights and buffers: what is validated, kept and published."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Move towards the network's present weights, fast at first."""
        self.steps += 1
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[key].lerp_(value, share)
            else:
                self.state[key].copy_(value)


def ctc(logits: Tensor, batch: Batch) -> Tensor:
    """Return the CTC loss (Graves et al., 2006) of float32 N x T x classes, the mean over samples by label length."""
    paths = logits.float().log_softmax(2).transpose(0, 1)
    steps = torch.full((len(batch.texts),), paths.shape[0], dtype=torch.int32)
    return functional.ctc_loss(paths, batch.targets, steps, batch.lengths, zero_infinity=True)


class Learner:
    """A network with its optimiser; `learn` takes one step."""

    def __init__(self, network: nn.Module, config: TrainConfig) -> None:
        self.network, self.config = network, config
        decayed = [p for p in network.parameters() if p.ndim > 1]
        plain = [p for p in network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=config.peak_rate)

    def learn(self, batch: Batch, speed: float) -> float:
        """Take one step at the learning rate `speed`; return the loss (CTC, mean over samples by label length)."""
        for group in self.optimiser.param_groups:
            group["lr"] = speed
        self.network.train()
        x, guide = batch.x.to(memory_format=torch.channels_last), None
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16):
            if hasattr(self.network, "guided"):
                logits, guide = self.network.guided(x)
            else:
                logits = self.network(x)
        loss = ctc(logits, batch)
        total = loss if guide is None else loss + self.config.guide * ctc(guide, batch)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        return float(loss.detach())


def help_learn(rank: int, config: TrainConfig, characters: list[str], network: nn.Module, clock: Tensor, shards: Path,
               real: list[Sample], words: list[Sample] | None, pause: Path | None, optimiser: dict[str, Any] | None) -> None:  # fmt: skip
    """Learn beside the main process until it says stop.

    `clock` (float64, shared): progress, the main process's steps, stop flag, then steps and samples of each helper.
    """
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C goes to all of a terminal; the main process saves, then tells us
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed + rank)
    cv2.setNumThreads(1)
    learner = Learner(network, config)
    if optimiser is not None:
        learner.optimiser.load_state_dict(optimiser)
    feeder = Feeder(config, Alphabet(characters), shards, real, words, seed=config.seed + 1000 * rank)
    while True:
        for batch in feeder.round(float(clock[0])):
            wait_while(pause)
            if clock[2]:
                return
            learner.learn(batch, rate(config, int(clock[1]), float(clock[0])))
            clock[1 + 2 * rank] += 1
            clock[2 + 2 * rank] += len(batch.texts)
