"""The training configuration: one TOML file, one table a model, checked on reading. Checkpoints carry it whole."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

DEFAULT = Path(__file__).with_name("config.toml")


@dataclass(frozen=True)
class Augment:
    """Cheap changes to a stored sample each time it is used.

    invert   probability of swapping dark and light
    stretch  largest relative change of the width
    shift    rows that a line moves up or down, at most
    noise    largest standard deviation of added noise, of the full range
    """

    invert: float = 0.0
    stretch: float = 0.0
    shift: int = 0
    noise: float = 0.0


@dataclass(frozen=True)
class TrainConfig:
    """One model's table of `config.toml`; the comments there say what each option means."""

    name: str
    alphabet: str
    network: str
    network_options: dict[str, Any]
    seed: int
    columns_a_batch: int
    peak_rate: float
    weight_decay: float
    warmup_steps: int
    ema: float
    guide: float
    bfloat16: bool
    threads: int
    helpers: int
    shards_a_round: int
    line_share: float
    real_share: float
    glyph_until: float
    short_until: float
    short_columns: int
    checkpoint_minutes: float
    evaluate_minutes: float
    augment: Augment
    composed: bool = False
    shard_share: float = 0.0
    refine_from: float = 0.0
    draft: int = 0
    head_rate: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, to be kept in a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Read plain values back; an option that is missing or not known is a ValueError that names it."""
        values = dict(values)
        values["augment"] = Augment(**values.get("augment", {}))
        known = {f.name for f in fields(cls)}
        needed = {f.name for f in fields(cls) if f.default is MISSING}
        if set(values) - known or needed - set(values):
            raise ValueError(
                f"options not known: {sorted(set(values) - known)}; missing: {sorted(needed - set(values))}"
            )
        return cls(**values)


def load_config(name: str, path: Path = DEFAULT) -> TrainConfig:
    """Return the table `name` of the configuration file."""
    tables = tomllib.loads(path.read_text("utf8"))
    if name not in tables:
        raise ValueError(f"{path} has no table [{name}]; it has {', '.join(tables)}")
    return TrainConfig.from_dict({"name": name, **tables[name]})
