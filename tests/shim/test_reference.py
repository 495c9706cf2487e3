"""The page about the API says what is so."""

import re

from shim.reference import PAGE, PARTS, filled

TEXT = PAGE.read_text(encoding="utf-8")


def test_generated_parts_are_as_the_code_is() -> None:
    assert filled(TEXT) == TEXT, "run: python -m shim.reference"


def test_each_part_stands_on_the_page_once() -> None:
    assert sorted(re.findall(r"<!-- generated: (\w+) -->", TEXT)) == sorted(PARTS)


def test_operations_tell_what_they_need() -> None:
    lines = {line.split("`")[1]: line for line in TEXT.splitlines() if line.startswith("| `")}
    assert "no token" in lines["GET /health"]
    assert "no token" not in lines["GET /runs"]
    assert "Idempotency-Key, limited" in lines["POST /runs"]
    assert "`create_run`" in TEXT
