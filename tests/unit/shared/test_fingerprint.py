from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocrfarm_shared.contracts import Layout, OcrOptions, ReadingOptions
from ocrfarm_shared.fingerprint import cache_key, request_print

OPTIONS = st.builds(
    OcrOptions,
    profile=st.sampled_from(["accurate", "accurate-int8"]),
    layout=st.sampled_from(list(Layout)),
    languages=st.lists(st.sampled_from(["en", "zh"]), max_size=2).map(tuple),
    pages=st.sampled_from([None, "1", "1-2"]),
    options=st.builds(ReadingOptions, orientation=st.booleans(), dpi=st.integers(72, 400)),
)
INPUTS = st.tuples(
    st.sampled_from(["ann", "bob"]),
    st.sampled_from(["a" * 64, "b" * 64]),
    OPTIONS,
    st.sampled_from([{"m": "1"}, {"m": "2"}, {"n": "1"}]),
)


@given(INPUTS, INPUTS)
def test_a_key_is_the_same_exactly_where_everything_that_changes_the_text_is(a: tuple, b: tuple) -> None:
    assert (cache_key(*a) == cache_key(*b)) == (a == b)
    assert len(cache_key(*a)) == 64


@given(OPTIONS)
def test_a_request_print_follows_content_and_options(options: OcrOptions) -> None:
    assert request_print("a", options) == request_print("a", options) != request_print("b", options)


def test_the_order_of_models_does_not_matter() -> None:
    one, two = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    assert cache_key("t", "c", OcrOptions(), one) == cache_key("t", "c", OcrOptions(), two)
