"""Answers of tools are short, and say what was left out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.shim.mcp.text import ANSWER_CHARACTERS, MOST_ITEMS, cut_middle, shortened, to_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_long_list_keeps_its_beginning_and_tells_how_many_more() -> None:
    found = shortened(list(range(60)))
    assert found == [*range(MOST_ITEMS), "10 more"]
    assert shortened(list(range(MOST_ITEMS))) == list(range(MOST_ITEMS))


def test_large_mapping_tells_how_many_more() -> None:
    found = shortened({str(number): number for number in range(1, 62)})
    assert len(found) == MOST_ITEMS + 1
    assert found["..."] == "11 more"


def test_empty_fields_are_left_out_and_zeros_kept() -> None:
    value = {"a": None, "b": "", "c": [], "d": {}, "e": 0, "f": False, "g": 0.0, "h": [None]}
    assert shortened(value) == {"e": 0, "f": False, "g": 0.0, "h": [None]}


def test_long_text_keeps_both_ends() -> None:
    found = cut_middle("a" * 500 + "b" * 500, 100)
    assert found.startswith("a" * 50 + " [... 900 characters left out ...] ")
    assert found.endswith("b" * 50)


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_text_that_fits_is_not_touched(size: int) -> None:
    assert cut_middle("x" * size, 100) == "x" * size


def test_answer_is_bounded_whatever_it_holds() -> None:
    value = [["x" * 10_000] * 100] * 100
    assert len(to_json(value)) < ANSWER_CHARACTERS + 100


@given(VALUES)
def test_short_values_are_json_that_reads_back(value: Any) -> None:
    assert json.loads(to_json(value)) == shortened(value)
