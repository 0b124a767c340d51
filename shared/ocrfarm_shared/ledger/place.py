"""Where in a batch a submission goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """`item_key`: what its sender calls it, so that sending it again adds nothing; `print`: what must be the same for that."""

    batch: str
    most_items: int
    item_key: str | None = None
    print: str = ""

    def arguments(self) -> dict[str, Any]:
        return {"id": self.batch, "most": self.most_items, "item_key": self.item_key, "print": self.print}
