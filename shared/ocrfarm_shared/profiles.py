"""Profiles: named choices of models and thresholds, read once from profiles.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict

from ocrfarm_shared.errors import UnknownProfile


class Profile(BaseModel):
    """One named choice. The model ids are part of every cache key made under it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    detector: str
    recognizer: str
    classifier: str | None = None
    fallback: str | None = None
    languages: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(m for m in (self.detector, self.classifier, self.recognizer, self.fallback) if m)


@cache
def _table() -> tuple[str, dict[str, Profile], dict[str, str]]:
    text = (resources.files("ocrfarm_shared") / "profiles.toml").read_text("utf8")
    raw = tomllib.loads(text)
    default, versions = raw.pop("default"), raw.pop("versions")
    return default, {name: Profile(name=name, **row) for name, row in raw.items()}, versions


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


def model_versions(profile: Profile) -> dict[str, str]:
    """The version of each model that a profile reads with, by registry id: what a cache key is made of beside the options.

    Raises UnknownProfile where profiles.toml has no version of one of them.
    """
    known = _table()[2]
    try:
        return {model: known[model] for model in profile.models}
    except KeyError as err:
        raise UnknownProfile(f"Profile {profile.name!r} names a model without a version: {err.args[0]}.") from None
