"""The tree of changes in a report."""

import re
from pathlib import Path

import pytest

from tests.support.report_cases import CASES, facts_of
from wildloop.flows.report.document import document
from wildloop.flows.report.plots import draw_plots
from wildloop.flows.report.tree_text import tree


def test_each_change_is_told_with_its_parent_and_the_ledgers_numbers(tmp_path: Path) -> None:
    facts = facts_of("branched", tmp_path)
    text = document(facts).replace("\\", "")
    section = text.partition("\n## Tree of changes\n")[2].partition("\n## ")[0]
    assert "2 of them began with code that had been taken back." in section
    rows = [line[2:-2].split(" | ") for line in section.splitlines() if "| iteration" in line]
    cells = {row[0]: row[1:] for row in rows}
    assert cells["iteration-07"][:2] == ["iteration-02", "kept"]
    assert cells["iteration-09"][:2] == ["iteration-08", "kept, **best**"]
    assert cells["iteration-04"][1:3] == ["failed", ""]
    for verdict in facts.session.kept.verdicts:
        if verdict.comparison is not None:
            told = cells[f"iteration-{verdict.iteration:02d}"][3]
            assert told.startswith(f"{verdict.comparison.gain:+.4g} on the best of then")


@pytest.mark.parametrize("name", [name for name in CASES if name != "branched"])
def test_without_two_changes_there_is_none(name: str, tmp_path: Path) -> None:
    assert tree(facts_of(name, tmp_path)) == ""


def test_the_picture_joins_each_to_what_it_began_with(tmp_path: Path) -> None:
    folder = tmp_path / "plots"
    folder.mkdir()
    drawn = draw_plots(folder, facts_of("branched", tmp_path))
    assert "tree.png" in [path.name for path in drawn]
    for name in ("tree.svg", "tree.narrow.svg"):
        svg = (folder / name).read_text(encoding="utf-8")
        tips = re.findall(r"<title>(iteration-\d\d, \w+|start, start)", svg)
        assert len(tips) == 9, "all that have a value"
        assert "iteration-07, kept" in svg and "currentColor" in svg
    others = draw_plots(folder, facts_of("won", tmp_path / "won"))
    assert "tree.png" not in [path.name for path in others]
