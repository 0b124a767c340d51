"""Profiles: named choices of models and thresholds, read once from profiles.toml and from the models that people added.

`ocrfarm models add NAME` puts a `profile.toml` into the state folder; gateway and workers read it when they start. It holds the profile's
fields and a table `versions` with what cache keys hold of its own model. A gateway on another machine needs that one file, in
`own-models/NAME/` of its own state folder.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ocrfarm_shared.errors import UnknownProfile
from ocrfarm_shared.settings import SettingsError, settings

OWN_FILE = "profile.toml"


class FirstReader(BaseModel):
    """A small model that reads every line first, and keeps a line where at most this share of its characters is expected to be
    wrong (0..1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    error: float = Field(gt=0, lt=1)


class Profile(BaseModel):
    """One named choice. The model ids are part of every cache key made under it. No detector: each picture is read as one line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    detector: str | None = None
    recognizer: str
    classifier: str | None = None
    fallback: str | None = None
    first: tuple[FirstReader, ...] = ()
    languages: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        first = tuple(reader.model for reader in self.first)
        return tuple(m for m in (self.detector, self.classifier, *first, self.recognizer, self.fallback) if m)


@cache
def _table() -> tuple[str, dict[str, Profile], dict[str, str]]:
    text = (resources.files("ocrfarm_shared") / "profiles.toml").read_text("utf8")
    raw = tomllib.loads(text)
    default, versions = raw.pop("default"), raw.pop("versions")
    known = {name: Profile(name=name, **row) for name, row in raw.items()}
    for path in sorted(settings().own_models_folder.glob(f"*/{OWN_FILE}")):
        own, own_versions = _own(path)
        known.setdefault(own.name, own)
        versions = own_versions | versions
    return default, known, versions


def _own(path: Path) -> tuple[Profile, dict[str, str]]:
    """An added model's profile, named as its folder. Raises SettingsError."""
    name = path.parent.name
    try:
        row = tomllib.loads(path.read_text("utf8"))
        versions = {str(model): str(version) for model, version in row.pop("versions").items()}
        return Profile(name=name, **row), versions
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as err:
        said = str(err).splitlines()[0]
        raise SettingsError(
            f"{path} is not a profile ({said}); run `ocrfarm models remove {name}` and add the model again."
        ) from None


def reread() -> None:
    """Read the files anew when they are next asked for: after a model was added or removed by this process."""
    _table.cache_clear()


def default_profile() -> str:
    return _table()[0]


def profiles() -> dict[str, Profile]:
    """All profiles by name."""
    return dict(_table()[1])


def get_profile(name: str) -> Profile:
    """Raises UnknownProfile with the names there are."""
    try:
        return _table()[1][name]
    except KeyError:
        raise UnknownProfile(f"There is no profile {name!r}; there are: {', '.join(_table()[1])}.") from None


def read_with(profile: Profile) -> dict[str, str]:
    """What a cache key is made of beside the options: the version of each model by its registry id, and how far the first readers are
    believed. Raises UnknownProfile as `model_versions` does."""
    return model_versions(profile) | {f"first:{reader.model}": str(reader.error) for reader in profile.first}


def model_versions(profile: Profile) -> dict[str, str]:
    """The version of each model that a profile reads with, by registry id.

    Raises UnknownProfile where profiles.toml has no version of one of them.
    """
    known = _table()[2]
    try:
        return {model: known[model] for model in profile.models}
    except KeyError as err:
        raise UnknownProfile(f"Profile {profile.name!r} names a model without a version: {err.args[0]}.") from None
