"""Makes the models that have a recipe, on this node, into the state folder: once, whoever asks first."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

from ocrfarm_models import calibration, registry
from ocrfarm_shared.errors import ModelUnavailable

Tell = Callable[[str], None]
Advance = Callable[[float], None]


def is_built(model_id: str) -> bool:
    """Whether the model can be opened now: it has no recipe, or its file stands and its hash is right."""
    try:
        registry.resolve(model_id)
    except ModelUnavailable:
        return False
    return True


def build(
    model_ids: Iterable[str],
    *,
    force: bool = False,
    tell: Tell = lambda _: None,
    advance: Advance = lambda _: None,
) -> list[str]:
    """Make those of these models that are not made yet (all that have a recipe, with `force`); returns their ids.

    `tell` hears what is being made, `advance` the share of it that is done, 0..1. Safe to call from many processes at
    once: one builds, the others wait and find it done. Raises ModelUnavailable.
    """
    made = []
    for model_id in model_ids:
        entry = registry.row(model_id)
        if not entry.recipe or (is_built(model_id) and not force):
            continue
        with _alone(registry.built_path(entry)):
            if is_built(model_id) and not force:
                continue
            _make(entry, tell, advance)
            made.append(model_id)
    return made


def _make(entry: registry.Row, tell: Tell, advance: Advance) -> None:
    source = onnx.load(registry.source_path(entry))
    match entry.recipe:
        case "reduce":
            tell(f"{entry.id}: reducing its output inside the graph")
            model = calibration.prepared(entry, source)
        case "int8":
            tell(f"{entry.id}: quantising to 8 bits")
            model = calibration.static_int8(entry, source, advance)
        case unknown:
            raise ModelUnavailable(f"{entry.id} names a recipe that this release does not know: {unknown!r}.")
    path = registry.built_path(entry)
    temporary = path.with_suffix(".part")
    onnx.save(model, temporary)
    digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    temporary.replace(path)
    # The stamp comes last: a model without one was not finished, and one that was torn by a crash has another hash.
    registry.stamp_path(path).write_text(json.dumps({"sha256": digest, "version": entry.version}), "utf8")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
