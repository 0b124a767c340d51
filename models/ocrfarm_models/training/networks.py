"""The recognisers, behind one interface: `build(name, classes, **options)` returns a module float32 N x 1 x 32 x W -> logits.

Logits are N x T x classes with T = W // 4, class 0 being the CTC blank (Graves et al., 2006). A new architecture joins by a
class and a row in `NETWORKS`; training, export and quantisation know no other.

`lite`: depthwise-separable blocks (3 x 3: the size that CPU kernels are good at, forwards and backwards) with squeeze-and-excitation
(PP-LCNet, Cui et al., 2021; MobileNetV3, Howard et al., 2019), then two bidirectional LSTMs (Shi et al., 2015).
`refined`: the same with a head that reads with and without the LSTMs, for thousands of classes.
`vgg`: the network of Shi et al., 2015, "An end-to-end trainable neural network for image-based sequence recognition".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

STRIDE = 4


class EvenLight(nn.Module):
    """Bring each line to mean 0 and deviation 1 over its own columns: dim and bright crops become the same task.

    Padding columns hold exactly 0.0, which no uint8 pixel gives under mean 0.5 and deviation 0.5 (127 -> -0.004, 128 -> +0.004),
    so they are told apart in the graph: they take no part in the figures and stay 0, the line's own mean.
    """

    def forward(self, x: Tensor) -> Tensor:
        """N x 1 x 32 x W in, the same shape out."""
        real = (x.abs().amax(dim=2, keepdim=True) > 0).to(x.dtype)  # N x 1 x 1 x W
        count = real.sum(dim=3, keepdim=True).clamp(min=1.0) * x.shape[2]
        mean = x.sum(dim=(2, 3), keepdim=True) / count
        centred = (x - mean) * real
        deviation = ((centred * centred).sum(dim=(2, 3), keepdim=True) / count + 1e-4).sqrt()
        return centred / (deviation + 0.02)


def conv(inside: int, outside: int, kernel: int | tuple[int, int], stride: int | tuple[int, int] = 1, groups: int = 1,
         act: bool = True) -> nn.Sequential:  # fmt: skip
    """Return convolution, batch normalisation and (unless the last of a block) ReLU or Hardswish."""
    k = (kernel, kernel) if isinstance(kernel, int) else kernel
    layers: list[nn.Module] = [
        nn.Conv2d(inside, outside, k, stride, (k[0] // 2, k[1] // 2), groups=groups, bias=False),
        nn.BatchNorm2d(outside),
    ]
    if act:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Squeeze(nn.Module):
    """Squeeze-and-excitation over the height only: a column is weighted by its own ink, not by the width of the line."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Conv2d(channels, channels // 4, 1), nn.ReLU(inplace=True),
                                  nn.Conv2d(channels // 4, channels, 1), nn.Hardsigmoid())  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W in and out."""
        return x * self.gate(x.mean(dim=2, keepdim=True))


class Separable(nn.Module):
    """Depthwise k x k, optional squeeze, pointwise; a residual where shapes allow."""

    def __init__(
        self, inside: int, outside: int, kernel: int = 3, stride: tuple[int, int] = (1, 1), squeeze: bool = False
    ) -> None:
        super().__init__()
        self.depth = conv(inside, inside, kernel, stride, groups=inside)
        self.squeeze = Squeeze(inside) if squeeze else nn.Identity()
        self.point = conv(inside, outside, 1)
        self.residual = inside == outside and stride == (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W in; H and W divided by the stride out."""
        y = self.point(self.squeeze(self.depth(x)))
        return x + y if self.residual else y


class Lite(nn.Module):
    """The small CRNN that is served. About 1.9 million parameters at the default width."""

    def __init__(self, classes: int, width: int = 32, hidden: int = 128, neck: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        w = width
        self.light = EvenLight()
        self.stem = nn.Sequential(
            conv(1, w, 3, (2, 2)),                                    # 16 x W/2
            Separable(w, w), Separable(w, w),
            Separable(w, w * 3, stride=(2, 2)),                       # 8 x W/4
        )  # fmt: skip
        self.body = nn.Sequential(
            Separable(w * 3, w * 3), Separable(w * 3, w * 3), Separable(w * 3, w * 3, squeeze=True),
            Separable(w * 3, w * 6, stride=(2, 1)),                   # 4 x W/4
            Separable(w * 6, w * 6), Separable(w * 6, w * 6), Separable(w * 6, w * 6, squeeze=True),
            Separable(w * 6, neck, stride=(2, 1)),                    # 2 x W/4
            Separable(neck, neck), Separable(neck, neck, squeeze=True),
            nn.Conv2d(neck, neck, (2, 1), bias=False), nn.BatchNorm2d(neck), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.lstm = nn.LSTM(neck, hidden, num_layers=2, bidirectional=True, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(hidden * 2, classes)
        self.guide = nn.Linear(neck, classes)  # reads the columns without the LSTMs; in training only

    def features(self, x: Tensor) -> Tensor:
        """Return the columns as N x T x neck."""
        return self.body(self.stem(self.light(x))).squeeze(2).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, N x T x classes."""
        return self._read(self.features(x))

    def guided(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and those of the guide, which leads the convolutions out of the all-blank plateau of CTC."""
        columns = self.features(x)
        with torch.autocast("cpu", enabled=False):
            guide = self.guide(columns.float())
        return self._read(columns), guide

    def _read(self, columns: Tensor) -> Tensor:
        out, _ = self.lstm(columns)
        with torch.autocast("cpu", enabled=False):
            return self.head(self.drop(out).float())


class Refined(Lite):
    """For thousands of classes: one head for the columns and for the columns with what the LSTMs add to them.

    The convolutions alone already read; the LSTMs start at nothing (a zero layer, as in ReZero, Bachlechner et al., 2020)
    and mend. So the large head is there once, and it learns from the first step.
    """

    def __init__(self, classes: int, width: int = 32, hidden: int = 128, neck: int = 256, dropout: float = 0.1) -> None:
        super().__init__(1, width, hidden, neck, dropout)
        del self.guide
        self.aim = nn.Linear(neck, neck)  # from columns to the space of the classes (`prototypes.py`)
        self.head = nn.Linear(neck, classes)
        self.lend = nn.Linear(hidden * 2, neck)
        nn.init.zeros_(self.lend.weight)
        nn.init.zeros_(self.lend.bias)

    def states(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the head reads, without and with the LSTMs, both float32 N x T x neck."""
        columns = self.features(x)
        out, _ = self.lstm(columns)
        with torch.autocast("cpu", enabled=False):
            aimed = self.aim(columns.float())
            return aimed, aimed + self.lend(self.drop(out).float())

    def aimed(self, x: Tensor) -> Tensor:
        """Return what the head reads without the LSTMs."""
        columns = self.features(x)
        with torch.autocast("cpu", enabled=False):
            return self.aim(columns.float())

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, N x T x classes."""
        return self.head(self.states(x)[1])

    def guided(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits with and without the LSTMs."""
        aimed, refined = self.states(x)
        return self.head(refined), self.head(aimed)


class Vgg(nn.Module):
    """The classic CRNN of Shi et al., 2015 (8.3 M parameters at 37 classes), unchanged: kept to compare with."""

    def __init__(self, classes: int, hidden: int = 256) -> None:
        super().__init__()
        self.light = EvenLight()

        def norm(i: int, o: int, k: int = 3, p: int = 1) -> list[nn.Module]:
            return [nn.Conv2d(i, o, k, 1, p, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]

        def plain(i: int, o: int) -> list[nn.Module]:
            return [nn.Conv2d(i, o, 3, 1, 1), nn.ReLU(inplace=True)]

        self.body = nn.Sequential(
            *plain(1, 64), nn.MaxPool2d(2), *plain(64, 128), nn.MaxPool2d(2),
            *norm(128, 256), *plain(256, 256), nn.MaxPool2d((2, 1)),
            *norm(256, 512), *plain(512, 512), nn.MaxPool2d((2, 1)),
            nn.Conv2d(512, 512, (2, 3), 1, (0, 1), bias=False), nn.BatchNorm2d(512), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.lstm = nn.LSTM(512, hidden, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(hidden * 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, N x T x classes."""
        columns = self.body(self.light(x)).squeeze(2).transpose(1, 2)
        out, _ = self.lstm(columns)
        with torch.autocast("cpu", enabled=False):
            return self.head(out.float())


NETWORKS: dict[str, Callable[..., nn.Module]] = {"lite": Lite, "refined": Refined, "vgg": Vgg}


def build(name: str, classes: int, **options: float) -> nn.Module:
    """Return a fresh network of this name; an unknown name is a KeyError that lists the known ones."""
    if name not in NETWORKS:
        raise KeyError(f"no network {name!r}; there are {', '.join(NETWORKS)}")
    return NETWORKS[name](classes, **options)
