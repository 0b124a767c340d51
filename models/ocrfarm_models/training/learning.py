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
from ocrfarm_models.training.batches import Batch
from ocrfarm_models.training.config import TrainConfig
from ocrfarm_models.training.feeders import Sources, open_feeder
from ocrfarm_models.training.networks import Refined
from ocrfarm_models.training.shards import wait_while


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


def ctc(logits: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """Return the CTC loss (Graves et al., 2006) of float32 N x T x classes, the mean over samples by label length."""
    paths = logits.float().log_softmax(2).transpose(0, 1)
    steps = torch.full((len(lengths),), paths.shape[0], dtype=torch.int32)
    return functional.ctc_loss(paths, targets, steps, lengths, zero_infinity=True)


def chosen(marks: Tensor) -> Tensor:
    """Return the steps (int64, into the flattened marks) that a framed loss looks at: all that say something, as many others."""
    flat = marks.flatten()
    said, others = flat.gt(0).nonzero().squeeze(1), flat.le(0).nonzero().squeeze(1)
    some = others[torch.randperm(len(others))[: len(said) + 8]]
    return torch.cat([said, some])


def framed(logits: Tensor, said: Tensor) -> Tensor:
    """Return the mean cross entropy of float32 n x classes where each row's class is known (`compose.marks`); said ones count half."""
    paths = logits.float().log_softmax(1)
    own, blank = paths.gather(1, said.abs()[:, None]).squeeze(1), paths[:, 0]
    right = torch.where(said < 0, torch.logaddexp(own, blank), own)
    return -(right[said > 0].mean() + right[said <= 0].mean())


def draft(targets: Tensor, classes: int, count: int) -> tuple[Tensor, Tensor]:
    """Return the classes that a step compares (blank, those of the targets, `count` others) and the targets as numbers among them.

    The soft maximum over thousands of classes at every step costs more than the convolutions; a random part of the others is
    enough to learn from (sampled softmax, Jean et al., 2015).
    """
    wanted = torch.zeros(classes, dtype=torch.bool)
    wanted[torch.randint(classes, (count,))] = True
    wanted[targets.long()] = True
    wanted[0] = True
    numbers = wanted.cumsum(0) - 1
    return wanted.nonzero().squeeze(1), numbers[targets.long()].to(torch.int32)


class Learner:
    """A network with its optimiser; `learn` takes one step."""

    def __init__(self, network: nn.Module, config: TrainConfig) -> None:
        self.network, self.config = network, config
        head = list(network.head.parameters()) if isinstance(network, Refined) else []
        others = [p for p in network.parameters() if all(p is not h for h in head)]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in others if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
        ]
        if head:
            groups.append({"params": head, "weight_decay": 0.0, "share": config.head_rate})
        self.optimiser = torch.optim.AdamW(groups, lr=config.peak_rate)

    def learn(self, batch: Batch, speed: float, progress: float = 1.0) -> float:
        """Take one step at the learning rate `speed`; return the loss (mean over samples by label length, or over characters)."""
        for group in self.optimiser.param_groups:
            group["lr"] = speed * group.get("share", 1.0)
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16):
            if isinstance(self.network, Refined):
                loss, guide = self._refined(self.network, batch, progress >= self.config.refine_from)
            else:
                loss, guide = self._whole(batch)
        total = loss if guide is None else loss + self.config.guide * guide
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        return float(loss.detach())

    def _whole(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        x = batch.x.to(memory_format=torch.channels_last)
        if not hasattr(self.network, "guided"):
            return ctc(self.network(x), batch.targets, batch.lengths), None
        logits, guide = self.network.guided(x)
        return ctc(logits, batch.targets, batch.lengths), ctc(guide, batch.targets, batch.lengths)

    def _refined(self, network: Refined, batch: Batch, refine: bool) -> tuple[Tensor, Tensor | None]:
        """Return the losses with and without the LSTMs: framed where marks are known, else CTC over a draft of the classes."""
        x = batch.x.to(memory_format=torch.channels_last)
        states = network.states(x) if refine else (network.aimed(x),)
        if batch.marks is not None:
            at = chosen(batch.marks)
            said = batch.marks.flatten()[at]
            losses = [framed(network.head(s.flatten(0, 1)[at]), said) for s in states]
        else:
            classes, targets = draft(batch.targets, network.head.out_features, self.config.draft)
            weight, bias = network.head.weight[classes], network.head.bias[classes]
            losses = [ctc(functional.linear(s, weight, bias), targets, batch.lengths) for s in states]
        return (losses[1], losses[0]) if refine else (losses[0], None)


def help_learn(rank: int, config: TrainConfig, characters: list[str], network: nn.Module, clock: Tensor, sources: Sources,
               pause: Path | None, optimiser: dict[str, Any] | None) -> None:  # fmt: skip
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
    feeder = open_feeder(config, Alphabet(characters), sources, config.seed + 1000 * rank)
    while True:
        for batch in feeder.round(float(clock[0])):
            wait_while(pause)
            if clock[2]:
                return
            learner.learn(batch, rate(config, int(clock[1]), float(clock[0])), float(clock[0]))
            clock[1 + 2 * rank] += 1
            clock[2 + 2 * rank] += len(batch.texts)
