"""The calls about batches, as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote
from uuid import uuid4

from ocrfarm.calls import Call, Choices, Named, Reply, as_fields
from ocrfarm_shared.batches import BatchItems, BatchList, BatchReceipt, BatchView

Order = Literal["number", "ended", "troubled"]
UNPACKING_S = 300.0  # the answer comes when the last file of a zip is stored


def _batch(batch: str, tail: str = "") -> str:
    return f"/v1/batches/{quote(batch, safe='')}{tail}"


def _receipt(reply: Reply) -> BatchReceipt:
    return BatchReceipt.model_validate_json(reply.body)


def _view(reply: Reply) -> BatchView:
    return BatchView.model_validate_json(reply.body)


def open_batch(choices: Choices) -> Call[BatchReceipt]:
    """POST /v1/batches, empty."""
    told: dict[str, Any] = {name: value for name, value in choices.items() if value is not None}
    key = told.pop("idempotency_key", None) or uuid4().hex
    return Call("POST", "/v1/batches", _receipt, headers={"Idempotency-Key": key}, json=as_fields(told))


def add(batch: str, files: Sequence[Named]) -> Call[BatchReceipt]:
    """POST …/files. Each file's key makes it safe to send it again."""
    return Call("POST", _batch(batch, "/files"), _receipt, uploads=files, held_s=UNPACKING_S)


def view(batch: str, wait_s: float = 0) -> Call[BatchView]:
    return Call("GET", _batch(batch), _view, params={"wait": f"{wait_s:g}"} if wait_s else {}, held_s=wait_s)


def items(batch: str, order: Order = "number", cursor: str | None = None, wait_s: float = 0) -> Call[BatchItems]:
    asked = {"order": order, "limit": "200"} | ({"cursor": cursor} if cursor else {})
    if wait_s:
        asked["wait"] = f"{wait_s:g}"
    return Call(
        "GET",
        _batch(batch, "/jobs"),
        lambda reply: BatchItems.model_validate_json(reply.body),
        params=asked,
        held_s=wait_s,
    )


def close(batch: str) -> Call[BatchView]:
    return Call("POST", _batch(batch, "/close"), _view)


def cancel(batch: str) -> Call[BatchView]:
    return Call("POST", _batch(batch, "/cancel"), _view)


def delete(batch: str) -> Call[None]:
    return Call("DELETE", _batch(batch), lambda _: None)


def batches(cursor: str | None) -> Call[BatchList]:
    return Call(
        "GET",
        "/v1/batches",
        lambda reply: BatchList.model_validate_json(reply.body),
        params={"cursor": cursor} if cursor else {},
    )


def results(batch: str, form: str, document: str) -> tuple[str, dict[str, str]]:
    """Path and parameters of the stream of results."""
    return _batch(batch, "/results"), {"format": form, "document": document}
