"""The generated parts of the docs say what is so."""

import re
from pathlib import Path

import pytest

from wildloop.shim.reference import DOCS, PAGES, PARTS, filled

TEXT = (DOCS / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_parts_are_as_the_code_is(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "run: python -m wildloop.shim.reference"


def test_each_part_stands_once() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert sorted(re.findall(r"<!-- generated: (\w+) -->", text)) == sorted(PARTS)


def test_operations_tell_what_they_need() -> None:
    lines = {line.split("`")[1]: line for line in TEXT.splitlines() if line.startswith("| `")}
    assert "no token" in lines["GET /health"]
    assert "no token" not in lines["GET /runs"]
    assert "Idempotency-Key, limited" in lines["POST /runs"]
    assert "`create_run`" in TEXT
