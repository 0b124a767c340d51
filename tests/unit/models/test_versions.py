"""The gateway's versions of the models are the registry's."""

from __future__ import annotations

from ocrfarm_models.registry import rows
from ocrfarm_shared.profiles import model_versions, profiles


def test_profiles_toml_has_the_registrys_versions() -> None:
    used = {model for profile in profiles().values() for model in profile.models}
    expected = {model: rows()[model].version for model in used}
    written = {m: v for profile in profiles().values() for m, v in model_versions(profile).items()}
    assert written == expected, "put these into shared/ocrfarm_shared/profiles.toml, [versions]"
