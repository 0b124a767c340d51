"""ONNX Runtime sessions, and the memory they work in. The only file that imports onnxruntime.

One process reads one page on one core, so that a session has one thread of its own and never spins while it waits:
a farm grows by processes, and spinning threads would take the cores that other processes work on.

Memory: a page's tensors come and go by the hundred megabytes. ONNX Runtime's own arena keeps the most that any page ever took
(measured: 550 MB a process after pages of varied size, and growing). So it is off, the C library's heap serves instead:
`hold_memory` keeps it from asking the system anew for every tensor (a quarter of a detection's time), and `release_memory`
gives back, between pages, what is free (90 MB a process remain). Started with GLIBC_TUNABLES=glibc.malloc.hugetlb=1, the
process gets its memory in huge pages, and giving it back costs next to nothing.
"""

from __future__ import annotations

import ctypes
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ocrfarm_shared.counting import MODEL, tally
from ocrfarm_shared.errors import ModelUnavailable

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
_ERROR = 3  # severity: ONNX Runtime warns of things that its user cannot change


class Session:
    """An open model. Not safe to share over a fork: open it in the process that uses it."""

    def __init__(self, model: Path | bytes, *, name: str = "", threads: int = 1, arena: bool = False) -> None:
        """Open a file, or a model held in memory. Raises ModelUnavailable where ONNX Runtime cannot open it.

        `name`: the model's id, under which the time of its runs is counted; without one it is not.
        """
        self._name = name
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.enable_cpu_mem_arena = arena
        options.log_severity_level = _ERROR
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            self._session: ort.InferenceSession | None = ort.InferenceSession(
                str(model) if isinstance(model, Path) else model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as err:  # ONNX Runtime raises a class of its own for each status
            file = model.name if isinstance(model, Path) else "The model"
            raise ModelUnavailable(
                f"{file} cannot be opened ({type(err).__name__}); run `ocrfarm models build --force` on this node."
            ) from err
        self.input_name: str = self._session.get_inputs()[0].name
        self.output_names: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())

    @property
    def metadata(self) -> Mapping[str, str]:
        """The model's own metadata (its charset, among others)."""
        assert self._session is not None, "the session was closed"
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, tensor: NDArray[Any]) -> list[NDArray[Any]]:
        """All outputs for one input tensor. ONNX Runtime's own errors come through."""
        assert self._session is not None, "the session was closed"
        begun = time.perf_counter()
        outputs = [np.asarray(out) for out in self._session.run(None, {self.input_name: tensor})]
        if self._name:
            tally.observe(MODEL, self._name, time.perf_counter() - begun)
        return outputs

    def close(self) -> None:
        """Release the model's memory; the session cannot be used afterwards."""
        self._session = None


def simplified(model: bytes) -> bytes:
    """The model with constants folded, batch norms and biases taken into the convolutions, and GELU and layer norm fused.

    What it becomes is the same on every machine: nothing in it hangs on the processor. Convolutions stay apart from the
    activations behind them, because quantising looks for them as they are.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = _ERROR
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "simplified.onnx"
        options.optimized_model_filepath = str(target)
        ort.InferenceSession(
            model,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["ConvActivationFusion", "ConvAddActivationFusion", "MatmulTransposeFusion"],
        )
        return target.read_bytes()


@cache
def _libc() -> ctypes.CDLL | None:
    """The C library, where it is glibc; others manage their heap in their own way."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def hold_memory() -> None:
    """Let this process keep freed memory until `release_memory`. For a process that does nothing but read."""
    if library := _libc():
        # An older glibc takes at most 32 MB here and leaves the setting as it was when it is told more.
        for limit in (32 << 20, 1 << 30):
            library.mallopt(_M_MMAP_THRESHOLD, limit)
        library.mallopt(_M_TRIM_THRESHOLD, (2 << 30) - 1)


def release_memory() -> None:
    """Give free memory back to the system. Some milliseconds; between two pages, not within one."""
    if library := _libc():
        library.malloc_trim(0)
