from __future__ import annotations

import pytest

from ocrfarm_shared.contracts import OcrOptions
from ocrfarm_shared.errors import UnknownProfile
from ocrfarm_shared.profiles import default_profile, get_profile, profiles


def test_the_default_is_a_profile_and_what_options_default_to() -> None:
    assert default_profile() in profiles()
    assert OcrOptions().profile == default_profile()


def test_unknown_names_those_there_are() -> None:
    with pytest.raises(UnknownProfile, match="accurate"):
        get_profile("nonsense")
