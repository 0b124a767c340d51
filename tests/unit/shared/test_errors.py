from __future__ import annotations

import re

from ocrfarm_shared import errors
from ocrfarm_shared.contracts import Failure
from ocrfarm_shared.errors import BY_CODE, FarmError, Internal, OcrFarmError, from_failure


def _all(root: type[OcrFarmError]) -> list[type[OcrFarmError]]:
    return [root, *(c for child in root.__subclasses__() for c in _all(child))]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = set(re.findall(r"([A-Z]\w+)(?=\s|$)", "\n".join(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))))
    assert drawn | {"OcrFarmError"} == {c.__name__ for c in _all(OcrFarmError)}


def test_every_leaf_has_a_code_of_its_own_and_a_sentence() -> None:
    leaves = [c for c in _all(OcrFarmError) if not c.__subclasses__()]
    assert len({c.code for c in leaves}) == len(leaves)
    for leaf in leaves:
        assert re.search(r"[a-z].*[.…)`]$", leaf.default), leaf
        assert re.fullmatch(r"[a-z_]+", leaf.code)


def test_codes_in_the_docstring_are_the_codes() -> None:
    for name, code in re.findall(r"── (\w+) +(?:\d{3} )?([a-z_]+)\b", errors.__doc__ or ""):
        if not getattr(errors, name).__subclasses__():  # the branches carry a sentence there
            assert getattr(errors, name).code == code


def test_failures_come_back_as_their_errors() -> None:
    for code, error in BY_CODE.items():
        failure = error("a sentence.").failure()
        assert failure.code == code
        assert type(from_failure(failure)) is error
        assert str(from_failure(failure)) == "a sentence."


def test_an_unknown_code_is_internal() -> None:
    assert isinstance(from_failure(Failure(code="of_the_future", message="x")), Internal)


def test_only_our_own_trouble_is_kept_as_a_dead_letter() -> None:
    for error in _all(OcrFarmError):
        if error.dead_letter:
            assert issubclass(error, FarmError)
