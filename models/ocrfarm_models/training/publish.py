"""Publish a quantised recogniser: file, hash, figures, model card, resumable weights, history; print its registry row.

    python -m ocrfarm_models.training.publish crnn-en --run runs/crnn-en --onnx runs/crnn-en/crnn-en-int8.onnx \\
        --scores runs/crnn-en/scores.json

Writes into `weights/`: `NAME-int8.onnx`, `NAME.md` (the card), `NAME-history.csv`, and `checkpoints/NAME.pt` (averaged weights as
float16 without optimiser state: enough to read with, to warm-start from, to go on from). The table that it prints belongs in
`registry.toml`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import torch

from ocrfarm_models import registry
from ocrfarm_models.training.scores import wilson

LISTED = 320  # characters that a card lists; the file's metadata holds all
WEIGHTS = Path(__file__).parent.parent / "weights"

ROW = """[{name}]
kind = "recognizer"
title = "{title}"
file = "weights/{file}"
sha256 = "{sha256}"
licence = "Apache-2.0"
charset = "metadata:charset"
blank = 0
input = {{ height = 32, multiple = 16, min_width = 32, channels = "GREY", mean = 0.5, std = 0.5, pad = 0.0, trim = {trim} }}
figures = {{ {figures} }}
"""


def half(source: Path, target: Path) -> None:
    """Write a checkpoint's averaged weights as float16."""
    kept = torch.load(source, weights_only=True)
    light = {k: kept[k] for k in ("config", "characters", "step", "samples", "seconds", "history")}
    light["average"] = {k: v.half() if v.is_floating_point() else v for k, v in kept["average"].items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.save(light, target)


def table(scores: dict[str, dict[str, float]]) -> str:
    """Return the scores as a Markdown table with Wilson intervals for the shares."""
    rows = ["| set | lines | ci | exact | char | char, case-insensitive |", "|---|---|---|---|---|---|"]
    for name, s in scores.items():
        n = int(s["n"])
        share = {k: "{:.3f} ({:.3f} to {:.3f})".format(s[k], *wilson(s[k] * n, n)) for k in ("ci", "exact")}
        rows.append(f"| {name} | {n} | {share['ci']} | {share['exact']} | {s['char']:.3f} | {s['char_ci']:.3f} |")
    return "\n".join(rows)


def card(
    name: str, title: str, file: Path, sha256: str, scores: dict[str, dict[str, float]], run: Path, notes: str
) -> str:
    """Return the model card."""
    meta = {p.key: p.value for p in onnx.load(file).metadata_props}
    characters, trained = json.loads(meta["charset"]), json.loads(meta["trained"])
    backtick = " and the backtick" if "`" in characters else ""
    listed = "".join(characters) if len(characters) <= LISTED else "".join(characters[:LISTED]) + " …"
    shown = "`" + listed.replace("`", "").replace("|", "\\|") + "`" + backtick
    variants = ""
    quantised = sorted(run.glob("*-quantised.json"))
    if quantised:
        variants = (
            "\n## Variants\n\nOn the validation samples; milliseconds a line of 640 columns, batch 8, one thread,\n"
        )
        variants += "with other work on the machine: to be compared within this table only.\n\n"
        variants += "| variant | exact | char | lost | ms | MB |\n|---|---|---|---|---|---|\n"
        for variant, v in json.loads(quantised[0].read_text("utf8")).items():
            accuracy = f"{v['exact']:.4f} | {v['char']:.4f} | {v['lost']:+.4f}"
            variants += f"| {variant} | {accuracy} | {v['ms_a_line']:.2f} | {v['megabytes']:.2f} |\n"
    return f"""# {name}

{title}.

| | |
|---|---|
| file | `{file.name}`, {file.stat().st_size / 1e6:.2f} MB, sha256 `{sha256}` |
| network | `{trained["network"]}`, {json.dumps(trained["options"])} |
| trained on | {trained["samples"]:,} samples, {trained["steps"]:,} steps of the main process, seed {trained["seed"]} |
| input | `x` float32 N x 1 x 32 x W grey, (value / 255 - 0.5) / 0.5, W a multiple of 16, padded right with 0.0 |
| outputs | `index` int64 N x T, `confidence` float32 N x T, T = W / 4, blank 0 |
| characters | {len(characters)}: {shown} |

## Figures

{table(scores)}

`ci`: casefolded letters and digits only; `exact`: after NFKC; `char`: 1 - edit distance / label length. Wilson intervals of 95%.
The words and lines are read whole, without detection, by the file above through the farm's own recogniser on one thread.
{variants}
{notes}"""


def main() -> None:
    """Publish."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("name")
    ap.add_argument(
        "--run", type=Path, required=True, help="folder with best.pt, history.csv and the report of quantise"
    )
    ap.add_argument("--onnx", type=Path, required=True)
    ap.add_argument("--scores", type=Path, required=True, help="JSON of evaluate")
    ap.add_argument("--title", default="A CRNN trained in this repository")
    ap.add_argument("--notes", type=Path, help="Markdown to end the card with: data, limits")
    ap.add_argument("--weights", type=Path, default=WEIGHTS)
    args = ap.parse_args()
    args.weights.mkdir(parents=True, exist_ok=True)
    file = args.weights / f"{args.name}-int8.onnx"
    shutil.copyfile(args.onnx, file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    half(args.run / "best.pt", args.weights / "checkpoints" / f"{args.name}.pt")
    shutil.copyfile(args.run / "history.csv", args.weights / f"{args.name}-history.csv")
    scores: dict[str, dict[str, Any]] = json.loads(args.scores.read_text("utf8"))
    notes = args.notes.read_text("utf8") if args.notes else ""
    (args.weights / f"{args.name}.md").write_text(card(args.name, args.title, file, sha256, scores, args.run, notes))
    figures = ", ".join(f"{name}_{key} = {s[key]:.3f}" for name, s in scores.items() for key in ("ci", "char_ci"))
    trim = registry.row(args.name).input.trim if args.name in registry.rows() else 0.0
    print(ROW.format(name=args.name, title=args.title, file=file.name, sha256=sha256, figures=figures, trim=trim))
    print(
        "# What `python -m ocrfarm_models.training.calibrate` says belongs here too: new weights have another certainty."
    )


if __name__ == "__main__":
    main()
