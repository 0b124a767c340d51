"""Fit how certain a recogniser is of a line, on lines that it was not trained on, and show whether it means what it says.

    python -m ocrfarm_models.training.calibrate crnn-en --judged runs/judged --picture docs/certainty-crnn-en.png

JUDGED is what `judged_lines` writes: a folder a kind of line. The first half of each kind is fitted on, the second half judged. A
line is right where it equals its label but for capitals, and for spaces beside punctuation (labels do not agree on them).

A line's wrong characters are counted by the same rule.

Prints: the expected calibration error (Naeini et al., 2015; 15 bins of like size) before (the mean of the characters' confidence
taken as the probability) and after; how well the mean, the least sure character and certainty tell right lines from wrong ones; what
share of each kind is settled at which expected error (`certainty.expected_error`), and what share of their characters is wrong;
and the entry for the model's row in `registry.toml`. Draws the reliability diagram.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from ocrfarm_models.certainty import FEATURES, LIKELY, expected_error, probability
from ocrfarm_models.ctc import LineText
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_models.registry import resolve, row
from ocrfarm_models.spec import CertaintyRule
from ocrfarm_models.training.evaluate import labelled_sets
from ocrfarm_models.training.scores import distance, norm

log = logging.getLogger(__name__)

# What counts in the fit: each kind as one, whatever its number of lines; what a farm is rarely sent counts less.
WEIGHTS = {"turned": 0.25, "nothing": 0.25}
LOOSE = ("pages", "receipts")  # kinds that the detector cut
PRIOR = 1e-3  # on the weights, so that the fit exists where the kinds are told apart without error
LEVELS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.05)  # expected errors a cascade might be set to


@dataclass(frozen=True)
class Judged:
    """One line that was read: what kind it is of, and how many of its characters are wrong."""

    kind: str
    line: LineText
    label: str
    wrong: int
    fitted: bool

    @property
    def right(self) -> bool:
        """Whether none is."""
        return self.wrong == 0


def wrong(a: str, b: str) -> int:
    """Count the edits between two texts, capitals and spaces beside punctuation left out of it."""
    bare = [re.sub(r"\s*([^\w\s])\s*", r"\1", norm(t)).casefold() for t in (a, b)]
    return distance(bare[0], bare[1])


def read(recognizer: Recognizer, folder: Path) -> list[Judged]:
    """Read all kinds."""
    out = []
    for kind, labelled in labelled_sets(folder):
        lines = recognizer.read([image for image, _ in labelled], loose=kind in LOOSE)
        for number, (line, (_, label)) in enumerate(zip(lines, labelled, strict=True)):
            out.append(Judged(kind, line, label, wrong(line.text, label), 2 * number < len(labelled)))
        log.info("%s: %d lines, %.3f right", kind, len(labelled), np.mean([j.right for j in out if j.kind == kind]))
    return out


def words_right(line: LineText, label: str) -> list[bool]:
    """Whether each word that was judged by itself (`line.parts`) is one of the label's, in its place; capitals do not count."""
    said = [norm(line.text[part.start : part.end]).casefold() for part in line.parts]
    matched = SequenceMatcher(None, said, norm(label).casefold().split(), autojunk=False).get_matching_blocks()
    right = {n for block in matched for n in range(block.a, block.a + block.size)}
    return [n in right for n in range(len(said))]


def fit(judged: Sequence[Judged], version: int) -> CertaintyRule:
    """Fit the logistic function by Newton's method (iteratively reweighted least squares) with a small ridge."""
    x = np.array([(1.0, *j.line.evidence) for j in judged])
    y = np.array([j.right for j in judged], float)
    count = {kind: sum(j.kind == kind for j in judged) for kind in {j.kind for j in judged}}
    w = np.array([WEIGHTS.get(j.kind, 1.0) / count[j.kind] for j in judged])
    w *= len(w) / w.sum()
    beta, ridge = np.zeros(x.shape[1]), np.diag([0.0] + [PRIOR * len(w)] * len(FEATURES))
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        step = np.linalg.solve((x.T * (w * p * (1 - p))) @ x + ridge, x.T @ (w * (y - p)) - ridge @ beta)
        beta += step
    rule = CertaintyRule(version, *(round(float(b), 4) for b in beta))
    slips = [j.wrong for j in judged if not j.right and probability(j.line.evidence, rule) > LIKELY]
    return replace(rule, slips=round(float(np.mean(slips)), 2) if slips else 1.0)


def calibration_error(said: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error: over bins of like size, the mean distance of what was said and what came."""
    parts = np.array_split(np.argsort(said, kind="stable"), bins)
    return float(sum(len(p) * abs(said[p].mean() - right[p].mean()) for p in parts if len(p)) / len(said))


def separation(said: np.ndarray, right: np.ndarray) -> float:
    """Return how well a number tells right lines from wrong ones: the chance that a right one has more of it (area under ROC)."""
    ranks = np.empty(len(said))
    ranks[np.argsort(said, kind="stable")] = np.arange(len(said))
    good = right > 0.5
    pairs = good.sum() * (~good).sum()
    return float((ranks[good].sum() - good.sum() * (good.sum() - 1) / 2) / pairs) if pairs else 0.5


def table(judged: Sequence[Judged], said: np.ndarray, rule: CertaintyRule) -> str:
    """Return, by kind and expected error, the share of lines that is settled and the share of their characters that is wrong: before
    the cascade's rule that no word may be unlikely."""
    rows = [f"{'kind':10s} {'right':>6s}  " + "  ".join(f"at {level:.3f}: settled wrong" for level in LEVELS)]
    for kind in sorted({j.kind for j in judged}):
        mine = [(j, float(p)) for j, p in zip(judged, said, strict=True) if j.kind == kind]
        cells = []
        for level in LEVELS:
            kept = [j for j, p in mine if expected_error(p, len(j.line.chars), rule) <= level]
            letters = sum(len(j.line.chars) for j in kept)
            cells.append(f"{len(kept) / len(mine):17.3f} {sum(j.wrong for j in kept) / letters if kept else 0:5.3f}")
        rows.append(f"{kind:10s} {np.mean([j.right for j, _ in mine]):6.3f}  " + "  ".join(cells))
    return "\n".join(rows)


def draw(path: Path, name: str, before: np.ndarray, after: np.ndarray, right: np.ndarray, said: str) -> None:
    """Draw the reliability diagram: what was said against what came, before and after, and how many lines say it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (upper, lower) = plt.subplots(2, 1, figsize=(6, 7), height_ratios=(3, 1), sharex=True)
    upper.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for label, p, colour in (("mean confidence", before, "tab:orange"), ("certainty", after, "tab:blue")):
        parts = [b for b in np.array_split(np.argsort(p, kind="stable"), 15) if len(b)]
        upper.plot([p[b].mean() for b in parts], [right[b].mean() for b in parts], "o-", color=colour, label=label)
        lower.hist(p, bins=np.linspace(0, 1, 41), histtype="step", color=colour)
    upper.set(ylabel="share of lines that are right", title=f"{name}: {said}", ylim=(0, 1), xlim=(0, 1))
    upper.legend()
    lower.set(xlabel="what the model says", ylabel="lines")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    """Read, fit, judge, print."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model", help="a recogniser of the registry")
    ap.add_argument("--judged", type=Path, default=Path("runs/judged"))
    ap.add_argument("--picture", type=Path)
    ap.add_argument("--json", type=Path)
    args = ap.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    spec = resolve(args.model)
    judged = read(Recognizer.open(replace(spec, certainty=CertaintyRule(version=1))), args.judged)
    judged = [j for j in judged if j.line.chars]  # a line without characters is never settled
    rule = fit([j for j in judged if j.fitted], row(args.model).certainty.version + 1)
    rest = [j for j in judged if not j.fitted]
    right = np.array([j.right for j in rest], float)
    before = np.array([j.line.confidence for j in rest])
    after = np.array([probability(j.line.evidence, rule) for j in rest])
    errors = calibration_error(before, right), calibration_error(after, right)
    said = f"calibration error {errors[0]:.3f} before, {errors[1]:.3f} after"
    print(table(rest, after, rule))
    rivals = {"mean": before, "weakest": np.array([j.line.weakest for j in rest]), "certainty": after}
    for kind in (None, *sorted({j.kind for j in rest if j.right})):
        mine = np.array([kind in (None, j.kind) for j in rest])
        told = ", ".join(f"{name} {separation(value[mine], right[mine]):.3f}" for name, value in rivals.items())
        print(f"tells right from wrong, {kind or 'all'}: {told}")
    print(f"{len(rest)} lines judged, {len(judged) - len(rest)} fitted on; {said}")
    print("certainty = { " + ", ".join(f"{k} = {v}" for k, v in asdict(rule).items()) + " }")
    # The parts were judged while reading, by the rule before; by the new one:
    served = read(Recognizer.open(replace(spec, certainty=rule)), args.judged)
    words = [
        (part.certainty, good)
        for j in served
        if not j.fitted and j.kind not in WEIGHTS
        for part, good in zip(j.line.parts, words_right(j.line, j.label), strict=True)
    ]
    sure, good = (np.array(column, float) for column in zip(*words, strict=True))
    print(f"{len(words)} words of lines that are not clear: calibration error {calibration_error(sure, good):.3f}, "
          f"tells right from wrong {separation(sure, good):.3f}, {good.mean():.3f} right, said {sure.mean():.3f}")  # fmt: skip
    if args.picture:
        draw(args.picture, args.model, before, after, right, said)
    if args.json:
        report = {"before": errors[0], "after": errors[1], "rule": asdict(rule), "lines": len(rest)}
        args.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
