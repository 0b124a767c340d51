"""The registry: registry.toml read, files found, hashes checked."""

from __future__ import annotations

from ocrfarm_models.spec import ModelSpec


def resolve(model_id: str) -> ModelSpec:
    """The model's spec with its file found and its hash checked.

    Raises ModelUnavailable with a sentence that says what to do: an unknown id, a missing package or file, a wrong hash, or
    a model that was not built yet.
    """
    raise NotImplementedError
