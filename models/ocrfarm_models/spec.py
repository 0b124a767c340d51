"""What the registry says of a model: frozen records that drive the generic detector, classifier and recogniser.

A model that follows one of these rules is added by a row in registry.toml and a file; no code of ours knows its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["detector", "classifier", "recognizer"]
Layout = Literal["NCHW", "NHWC", "NWHC"]
Fit = Literal["pad", "stretch"]
Order = Literal["NTC", "TNC"]
Activation = Literal["softmax", "logits", "log_softmax"]
Channels = Literal["RGB", "BGR", "GREY"]


@dataclass(frozen=True)
class InputRule:
    """How an image becomes the model's tensor.

    height      rows of the tensor; 0: free (a detector)
    width       columns where the model takes only one width; 0: free
    multiple    free widths (a detector: both sides) are padded or rounded to a multiple of this many pixels
    margin      columns of padding that a line has on its right at least
    min_width   narrower lines are padded to this many columns, never stretched
    max_width   wider lines are squeezed to this many columns, never cut
    mean, std   one number for all channels: value = (pixel / 255 - mean) / std
    pad         value, after normalising, of the columns right of a line that is narrower than its batch
    layout      axes of the tensor: N lines, C channels, H rows, W columns; NWHC is a picture on its side (the Keras captcha example)
    fit         pad: a line keeps its aspect ratio; stretch: it fills `width`, whatever its own width is
    overlap     columns that neighbouring windows share, where a line longer than `width` is read through windows (`windows.py`);
                0: it is squeezed into `width`
    batch       lines that the model takes at once, where its file fixes that; 0: any number
    trim        share of its height that a crop of the detector loses above and below (`closer`), for a model that learnt tighter crops
    """

    height: int
    width: int = 0
    multiple: int = 1
    margin: int = 0
    min_width: int = 0
    max_width: int = 8192
    layout: Layout = "NCHW"
    channels: Channels = "BGR"
    mean: float = 0.5
    std: float = 0.5
    pad: float = 0.0
    fit: Fit = "pad"
    overlap: int = 0
    batch: int = 0
    trim: float = 0.0

    @property
    def depth(self) -> int:
        """Channels of the tensor."""
        return 1 if self.channels == "GREY" else 3


@dataclass(frozen=True)
class OutputRule:
    """What a recogniser's output tensor holds, where it is not reduced in the graph to `index` and `confidence`.

    order       its axes: N lines, T columns, C classes
    activation  softmax: probabilities; log_softmax: their logarithms; logits: neither, softmax is still to be taken
    name        of the output, where the model has several; empty: it has one
    """

    order: Order = "NTC"
    activation: Activation = "softmax"
    name: str = ""


@dataclass(frozen=True)
class DetectorRule:
    """DB detector (Liao et al., 2020, "Real-time scene text detection with differentiable binarization").

    min_side     pixels: an image whose shorter side is less is enlarged to it
    max_pixels   an image of more is reduced to so many; it is a matter of area, not of the longer side, so that a long
                 receipt keeps its width
    max_side     pixels: the longer side's limit for whatever shape
    threshold    on the 0..1 text map; box_threshold: on a region's mean
    """

    min_side: int = 736
    max_pixels: int = 1_800_000
    max_side: int = 4000
    threshold: float = 0.3
    box_threshold: float = 0.5
    unclip: float = 1.6
    dilate: bool = True
    max_regions: int = 1000
    min_size: float = 3.0


@dataclass(frozen=True)
class DoubtRule:
    """A second look at short lines.

    PP-OCR's recognisers saw no line narrower than 320 columns in training, and read some short words better when they are
    padded to it; most are read as well, and faster, without. So a line is read close, and once more with `width` columns
    where it was narrower and its confidence stayed under `below`; the second reading counts. `below` = 0: never.
    """

    below: float = 0.0
    width: int = 0


@dataclass(frozen=True)
class CertaintyRule:
    """Weights of the logistic function that makes a line's features the probability that it was read right (certainty.py).

    Written by `python -m ocrfarm_models.training.calibrate`. `version` counts up with each fit and stands in cache keys;
    0: the model was not calibrated, and its lines have no certainty. `slips`: how many characters are wrong, on average, in a line
    that is wrong though the model was more certain of it than not.
    """

    version: int = 0
    bias: float = 0.0
    text: float = 0.0
    weakest: float = 0.0
    length: float = 0.0
    width: float = 0.0
    slips: float = 1.0


@dataclass(frozen=True)
class ModelSpec:
    """One row of the registry with its file found and its hash checked.

    path      the ONNX file to open
    charset   "metadata:<key>" of the ONNX file, or "file:<name>" beside it; empty for detectors and classifiers
    blank     index of CTC's blank
    space     the charset leaves the space out and the model has it as its last class (the habit of PP-OCR)
    version   what stands in cache keys: id, recipe and a short hash
    """

    id: str
    kind: Kind
    path: Path
    sha256: str
    licence: str
    version: str
    input: InputRule
    charset: str = ""
    blank: int = 0
    space: bool = False
    output: OutputRule = field(default_factory=OutputRule)
    threshold: float = 0.0
    detector: DetectorRule = field(default_factory=DetectorRule)
    doubt: DoubtRule = field(default_factory=DoubtRule)
    certainty: CertaintyRule = field(default_factory=CertaintyRule)
    figures: dict[str, float] = field(default_factory=dict, compare=False, hash=False)
