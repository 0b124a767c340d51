"""Trains one small recogniser and writes it in five layouts: NAME.onnx and NAME.txt (its characters) beside NAME.toml.

    python tests/data/own_models/make.py        # needs ocrfarm[train]; some minutes on one core

It reads clean lines of figures and small letters in Pillow's own font and nothing else: it is there so that a test can see an added
model read. The network is trained once, on grey lines of 32 rows; each layout puts axes, channels, rows, class order and activation
around it as the originals have them. Pictures become tensors by the farm's own code, `line_image`.
"""

from __future__ import annotations

import random
import string
import time
import tomllib
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn
from torch.nn import functional

from ocrfarm_models.line_image import resize_line, to_batch
from ocrfarm_models.spec import InputRule, OutputRule

HERE = Path(__file__).parent
CHARACTERS = string.digits + string.ascii_lowercase
CAPTCHA = "2345678bcdefgmnpwxy"
# The characters of each layout, in class order; [UNK] is a class that says nothing.
LAYOUTS = {
    "modelscope": list(CHARACTERS),
    "free_width": list(CHARACTERS),
    "keras_ocr": list(CHARACTERS),
    "keras_captcha": ["[UNK]", *CAPTCHA],
    "deep_text": list(CHARACTERS),
}
TRAINED_ON = InputRule(height=32, multiple=16, channels="GREY", mean=0.0, std=1.0)
STEPS, LINES, STOCK = 3200, 24, 4000


class Columns(nn.Module):
    """Convolutions alone: float32 N x 1 x 32 x W, 0..1 -> logits N x W/4 x classes, the blank first."""

    def __init__(self) -> None:
        super().__init__()

        def block(inside: int, outside: int, stride: tuple[int, int]) -> list[nn.Module]:
            return [nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]

        self.body = nn.Sequential(
            *block(1, 12, (2, 2)), *block(12, 24, (2, 2)), *block(24, 40, (2, 1)), *block(40, 48, (2, 1)),
            nn.Conv2d(48, 48, (2, 3), padding=(0, 1), bias=False), nn.BatchNorm2d(48), nn.ReLU(),
            nn.Conv2d(48, 48, (1, 5), padding=(0, 2), bias=False), nn.BatchNorm2d(48), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Conv2d(48, len(CHARACTERS) + 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, N x T x classes."""
        return self.head(self.body(x)).squeeze(2).transpose(1, 2)


class Served(nn.Module):
    """The network behind one layout: input in `rule.layout`, output in `output.order`, classes in the order that its spec names."""

    def __init__(self, columns: Columns, rule: InputRule, output: OutputRule, classes: list[int]) -> None:
        super().__init__()
        self.columns, self.rule, self.output = columns, rule, output
        self.register_buffer("classes", torch.tensor(classes))

    def forward(self, x: Tensor) -> Tensor:
        """Whatever the layout takes and gives."""
        rule = self.rule
        x = x.permute(*(rule.layout.index(axis) for axis in "NCHW")) * rule.std + rule.mean
        x = x.mean(1, keepdim=True)
        if rule.height == 31:
            x = torch.cat([x, x[:, :, -1:]], 2)
        elif rule.height != 32:
            x = functional.interpolate(x, (32, 128), mode="bilinear", align_corners=False)
        out = self.columns(x).index_select(2, self.classes)
        out = out if self.output.activation == "logits" else out.softmax(2)
        return out.transpose(0, 1) if self.output.order == "TNC" else out


def draw(said: str, rng: random.Random) -> np.ndarray:
    """A line of print, uint8 H x W grey."""
    size, margin = rng.randint(20, 40), rng.randint(3, 8)
    font = ImageFont.load_default(size)
    left, top, right, bottom = (int(v) for v in font.getbbox(said))
    image = Image.new("L", (right - left + 2 * margin, bottom - top + 2 * margin), "white")
    ImageDraw.Draw(image).text((margin - left, margin - top), said, rng.randint(0, 60), font)
    pixels = np.asarray(image)
    width = max(8, round(pixels.shape[1] * rng.uniform(0.6, 1.8)))
    return np.asarray(cv2.resize(pixels, (width, pixels.shape[0]), interpolation=cv2.INTER_AREA), np.uint8)


def stock(rng: random.Random) -> list[tuple[np.ndarray, str]]:
    """Lines of 2 to 7 random characters, ready for the network, sorted by width."""
    made = []
    while len(made) < STOCK:
        said = "".join(rng.choices(CHARACTERS, k=rng.randint(2, 7)))
        line = resize_line(draw(said, rng), TRAINED_ON)
        if line.shape[1] // 4 > len(said) + sum(a == b for a, b in pairwise(said)):
            made.append((line, said))
    return sorted(made, key=lambda sample: sample[0].shape[1])


def train() -> Columns:
    """The network, trained."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rng = random.Random(1)
    lines, net = stock(rng), Columns()
    optimiser = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=STEPS, pct_start=0.1)
    started = time.monotonic()
    for step in range(STEPS):
        first = rng.randrange(len(lines) - LINES)
        batch = lines[first : first + LINES]
        logits = net(torch.from_numpy(to_batch([line for line, _ in batch], TRAINED_ON)))
        loss = functional.ctc_loss(
            logits.log_softmax(2).transpose(0, 1),
            torch.tensor([CHARACTERS.index(c) + 1 for _, said in batch for c in said]),
            torch.full((LINES,), logits.shape[1]),
            torch.tensor([len(said) for _, said in batch]),
        )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        if step % 200 == 199:
            print(f"step {step + 1}, loss {loss.item():.4f}, {time.monotonic() - started:.0f} s", flush=True)
    return net.eval()


def write(name: str, net: Columns) -> None:
    """The files of one layout. Any number of lines at once, but for ModelScope's, which takes one."""
    spec = tomllib.loads((HERE / f"{name}.toml").read_text("utf8"))
    rule, output = InputRule(**spec["input"]), OutputRule(**spec.get("output", {}))
    # [UNK] is given a character that captchas of this kind never show.
    classes = [CHARACTERS.index(c if c in CHARACTERS else "0") + 1 for c in LAYOUTS[name]]
    served = Served(net, rule, output, [*classes, 0] if spec["blank"] == "last" else [0, *classes])
    sizes = {"N": 1, "C": rule.depth, "H": rule.height, "W": rule.width or 160}
    free = ({} if name == "modelscope" else {0: "n"}) | ({} if rule.width else {3: "w"})
    lines = {1 if output.order == "TNC" else 0: "n"} if 0 in free else {}
    torch.onnx.export(
        served.eval(), (torch.zeros([sizes[axis] for axis in rule.layout]),), str(HERE / f"{name}.onnx"), dynamo=False,
        input_names=["x"], output_names=["y"], dynamic_axes={"x": free, "y": lines}, opset_version=17,
    )  # fmt: skip
    (HERE / f"{name}.txt").write_text("\n".join(LAYOUTS[name]) + "\n", "utf8")


if __name__ == "__main__":
    trained = train()
    for layout in LAYOUTS:
        write(layout, trained)
