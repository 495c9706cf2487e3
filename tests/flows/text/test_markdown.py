"""Markdown that holds whatever stands in it: Prefect's page shows no HTML and folds nothing."""

import base64
import re

import pytest

from wildloop.flows.text.markdown import block, code, curve, facts, head, link, page, section, table


def test_no_cell_ends_its_row() -> None:
    drawn = table(["a", "b"], [["x | y", "two\nlines"]])
    assert drawn.splitlines()[-1] == "| x \\| y | two lines |"
    assert table(["a"], []) == ""


def test_facts_without_a_value_are_left_out() -> None:
    assert "seed" not in facts([("seed", ""), ("code", "c")])
    assert facts([("seed", "")]) == ""


@pytest.mark.parametrize("text", ["plain", "has `one`", "```\nfence\n```", "````", "ends `"])
def test_code_ends_where_its_text_does(text: str) -> None:
    fence = block(text).split("\n")[0]
    assert fence not in text and block(text).endswith("\n" + fence)
    ticks = re.match("`+", code(text))
    assert ticks is not None and ticks[0] not in text.replace(ticks[0] + "`", "")


def test_links_without_a_place_are_their_text() -> None:
    assert link("a [b]", None) == "a (b)"
    assert link("a", "http://x") == "[a](http://x)"


def test_long_texts_are_cut_and_say_so() -> None:
    assert head("abc", 3) == "abc"
    assert head("abcd", 3) == "abc\n... (cut)"


def test_empty_sections_are_left_out() -> None:
    assert section("Log", "", " ") == ""
    assert page("a", "", "b") == "a\n\nb"


@pytest.mark.parametrize(
    "values", [[0.1, 0.5, 0.3], [2.0, 2.0], [1e308, -1e308, 0.0], [5e-324, 0.0]]
)
def test_curve_lies_within_its_picture(values: list[float]) -> None:
    drawn = curve("loss", [(float(at), value) for at, value in enumerate(values)])
    svg = base64.b64decode(drawn.split("base64,")[1].removesuffix(")")).decode()
    line = re.search('points="([^"]+)"', svg)
    assert line is not None
    places = [tuple(map(float, pair.split(","))) for pair in line[1].split()]
    assert len(places) == len(values)
    assert all(0 <= x <= 640 and 0 <= y <= 160 for x, y in places)


def test_a_single_place_is_no_curve() -> None:
    assert curve("loss", [(1.0, 0.5), (1.0, 0.6)]) == ""
