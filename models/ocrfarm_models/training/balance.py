"""Give the blank its due after framed learning: `python -m ocrfarm_models.training.balance last.pt balanced.pt --shards runs/shards-zh`.

The framed loss looks at as many silent steps as speaking ones, though lines have about six times as many: the network comes out
too ready to speak (sampled classes want their logits corrected by the logarithm of the sampling, King and Zeng, 2001). The constant
that is added to the blank's bias is the one that reads the generated validation lines (`val_*.npz`) best.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch

from ocrfarm_models.line_image import to_batch
from ocrfarm_models.training.batches import by_width
from ocrfarm_models.training.export import load_network
from ocrfarm_models.training.networks import Refined
from ocrfarm_models.training.rule import LINE_RULE
from ocrfarm_models.training.scores import Score
from ocrfarm_models.training.shards import Sample, read

log = logging.getLogger(__name__)
OFFERED = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0]


@torch.no_grad()
def scores(checkpoint: Path, sets: dict[str, list[Sample]]) -> dict[float, float]:
    """Return, for each constant offered, the mean over the sets of character accuracy."""
    network, alphabet, _ = load_network(checkpoint)
    if not isinstance(network, Refined):
        raise ValueError(f"{checkpoint} is not of the network `refined`, which alone learns from framed lines")
    pairs: dict[tuple[float, str], list[tuple[str, str]]] = {(add, name): [] for add in OFFERED for name in sets}
    for name, samples in sets.items():
        for group in by_width(samples, 8192):
            logits = network(torch.from_numpy(to_batch([image for image, _ in group], LINE_RULE)))
            blank, (other, number) = logits[:, :, 0].clone(), logits[:, :, 1:].max(2)
            for add in OFFERED:
                paths = torch.where(blank + add >= other, 0, number + 1).numpy()
                pairs[add, name] += [(text, alphabet.decode(p)) for (_, text), p in zip(group, paths, strict=True)]
    return {add: float(np.mean([Score.of(pairs[add, name]).char for name in sets])) for add in OFFERED}


def main() -> None:
    """Choose, add, write."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("checkpoint", type=Path)
    ap.add_argument("balanced", type=Path)
    ap.add_argument("--shards", type=Path, required=True)
    args = ap.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    found = scores(args.checkpoint, {p.stem: read(p) for p in sorted(args.shards.glob("val_*.npz"))})
    best = max(found, key=lambda add: found[add])
    for add, score in found.items():
        log.info("%+.1f  char %.4f%s", add, score, "  chosen" if add == best else "")
    kept = torch.load(args.checkpoint, weights_only=True)
    kept["average"]["head.bias"][0] += best
    torch.save(kept, args.balanced)


if __name__ == "__main__":
    main()
