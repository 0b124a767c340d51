"""The registry: registry.toml and the models that people added to the state folder; files found, hashes checked."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources, util
from pathlib import Path
from typing import Any

from ocrfarm_models.spec import CertaintyRule, DetectorRule, DoubtRule, InputRule, Kind, ModelSpec, OutputRule
from ocrfarm_shared.errors import ModelUnavailable
from ocrfarm_shared.settings import settings


@dataclass(frozen=True)
class Row:
    """One table of registry.toml, its base's fields filled in. `recipe` is empty where the file is run as it is.

    `added` is empty for these; a model that somebody added (`own.py`) has there a sha256 over its file, characters and rule.
    """

    id: str
    kind: Kind
    title: str
    file: str
    sha256: str
    licence: str
    input: InputRule
    detector: DetectorRule = field(default_factory=DetectorRule)
    doubt: DoubtRule = field(default_factory=DoubtRule)
    certainty: CertaintyRule = field(default_factory=CertaintyRule)
    charset: str = ""
    blank: int = 0
    space: bool = False
    threshold: float = 0.0
    recipe: str = ""
    revision: int = 1
    keep: tuple[str, ...] = ()
    figures: dict[str, float] = field(default_factory=dict, hash=False)
    output: OutputRule = field(default_factory=OutputRule)
    added: str = ""

    @property
    def version(self) -> str:
        """What cache keys hold: which model this is, how it is made and how it is asked. Needs no file."""
        if self.added:
            return f"{self.id}@own-{self.added[:12]}"
        told = asdict(self)
        for name in ("id", "title", "licence", "figures"):
            del told[name]
        if not self.certainty.version:
            del told["certainty"]
        return f"{self.id}@{self.recipe or 'file'}{self.revision}-{_digest(told)}"

    @property
    def made(self) -> str:
        """The name of the file that the recipe makes: less is in it than in `version`, so that a new threshold needs no new file."""
        return f"{self.id}-{self.recipe}{self.revision}-{_digest([self.sha256, self.keep, asdict(self.input)])}"


def _digest(told: object) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]


ROW_FILE = "model.toml"
"""The row of an added model, in its folder under `settings().own_models_folder`; its `file` is the one beside it."""


@cache
def rows() -> dict[str, Row]:
    """All rows by id, in the file's order, then the models that were added on this node. Raises ModelUnavailable."""
    raw: dict[str, dict[str, Any]] = tomllib.loads(
        (resources.files("ocrfarm_models") / "registry.toml").read_text("utf8")
    )
    own = {path.parent.name: _own_row(path) for path in sorted(settings().own_models_folder.glob(f"*/{ROW_FILE}"))}
    shipped = {name: _row(name, raw) for name in raw}
    return shipped | {name: row for name, row in own.items() if name not in shipped}


def _own_row(path: Path) -> Row:
    name = path.parent.name
    try:
        fields = tomllib.loads(path.read_text("utf8"))
        return _row(name, {name: fields | {"file": str(path.parent.absolute() / fields["file"])}})
    except (OSError, ValueError, TypeError, KeyError) as err:
        raise ModelUnavailable(
            f"{path} does not describe a model ({err}); run `ocrfarm models remove {name}` and add it again."
        ) from None


def _row(name: str, raw: dict[str, dict[str, Any]]) -> Row:
    fields = dict(raw[name])
    if base := fields.pop("base", None):
        fields = {k: v for k, v in raw[base].items() if k not in ("recipe", "revision", "figures")} | fields
    fields["keep"] = tuple(fields.get("keep", ()))
    fields["input"] = InputRule(**fields["input"])
    fields["detector"] = DetectorRule(**fields.get("detector", {}))
    fields["doubt"] = DoubtRule(**fields.get("doubt", {}))
    fields["output"] = OutputRule(**fields.get("output", {}))
    fields["certainty"] = CertaintyRule(**fields.get("certainty", {}))
    return Row(id=name, **fields)


def row(model_id: str) -> Row:
    """Raises ModelUnavailable with the ids there are."""
    try:
        return rows()[model_id]
    except KeyError:
        known = ", ".join(rows())
        raise ModelUnavailable(f"There is no model {model_id!r} in the registry; there are: {known}.") from None


def model_version(model_id: str) -> str:
    """The version that stands in cache keys. Raises ModelUnavailable for an unknown id."""
    return row(model_id).version


def source_path(entry: Row) -> Path:
    """The row's own file, hash checked. Raises ModelUnavailable."""
    package, colon, inside = entry.file.partition(":")
    if colon:
        found = util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            raise ModelUnavailable(
                f"{entry.id} comes with the package {package}, which is not installed; "
                "install ocrfarm[worker] on this node."
            )
        path = Path(next(iter(found.submodule_search_locations))) / inside
        remedy = f"reinstall {package} (`uv sync --reinstall-package {package}`)"
    else:
        path = Path(__file__).parent / entry.file  # an absolute file stays as it is
        remedy = f"add it again (`ocrfarm models add {entry.id}`)" if entry.added else "reinstall ocrfarm"
    _check(path, entry.sha256, entry.id, remedy)
    return path


def built_path(entry: Row) -> Path:
    """Where `ocrfarm models build` keeps the model of a row that has a recipe."""
    return settings().models_folder / f"{entry.made}.onnx"


def stamp_path(model: Path) -> Path:
    """The small JSON file beside a built model that holds its sha256 and how it was made."""
    return model.with_suffix(".json")


def resolve(model_id: str) -> ModelSpec:
    """The model's spec with its file found and its hash checked.

    Raises ModelUnavailable with a sentence that says what to do: an unknown id, a missing package or file, a wrong hash,
    or a model that was not built yet.
    """
    entry = row(model_id)
    path, digest = _built(entry) if entry.recipe else (source_path(entry), entry.sha256)
    return ModelSpec(
        id=entry.id,
        kind=entry.kind,
        path=path,
        sha256=digest,
        licence=entry.licence,
        version=entry.version,
        input=entry.input,
        charset=entry.charset,
        blank=entry.blank,
        space=entry.space,
        output=entry.output,
        threshold=entry.threshold,
        detector=entry.detector,
        doubt=entry.doubt,
        certainty=entry.certainty,
        figures=entry.figures,
    )


def _built(entry: Row) -> tuple[Path, str]:
    path = built_path(entry)
    first, again = f"run `ocrfarm models build {entry.id}`", f"run `ocrfarm models build {entry.id} --force`"
    try:
        digest = str(json.loads(stamp_path(path).read_text("utf8"))["sha256"])
    except FileNotFoundError:
        raise ModelUnavailable(f"{entry.id} was not built on this node yet; {first}.") from None
    except (ValueError, KeyError, TypeError):
        raise ModelUnavailable(f"The record of how {entry.id} was built is damaged; {again}.") from None
    _check(path, digest, entry.id, again)
    return path, digest


def _check(path: Path, expected: str, model_id: str, remedy: str) -> None:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise ModelUnavailable(f"The file of {model_id} is missing or unreadable ({path.name}); {remedy}.") from None
    if digest != expected:
        raise ModelUnavailable(
            f"The file of {model_id} ({path.name}) is not the one that the registry names: its sha-256 begins with "
            f"{digest[:8]}, not {expected[:8]}; {remedy}."
        )
