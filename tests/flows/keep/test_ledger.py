"""results.tsv."""

import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.keep.ledger import COLUMNS, ledger_text, put_back, read_ledger, write_ledger
from wildloop.flows.models.evidence import Comparison
from wildloop.flows.models.keep import Evidence, KeepStatus, Verdict


def verdict(iteration: int = 1, description: str = "wider layer") -> Verdict:
    return Verdict(
        iteration=iteration,
        label=f"iteration-{iteration:02d}",
        status=KeepStatus.DISCARD,
        why="not shown to be better",
        description=description,
        commit="0123456789abcdef",
        candidate=Evidence(
            configuration="t", values=[0.9, 0.92], seeds=["1", "2"], memory_mb=512.0
        ),
        against=Evidence(configuration="t", values=[0.9], seeds=["1"]),
        comparison=Comparison(test="Welch t", gain=0.01, p=0.3),
    )


def test_a_row_has_the_numbers_of_the_decision() -> None:
    (row,) = read_ledger(ledger_text([verdict()]))
    assert list(row) == list(COLUMNS)
    assert COLUMNS[:5] == ("commit", "metric", "memory", "status", "description")
    assert row["commit"] == "0123456789ab"
    assert (row["metric"], row["n"], row["sd"]) == ("0.91", "2", "0.0141421")
    assert (row["memory"], row["status"], row["p"], row["best_mean"]) == (
        "512",
        "discard",
        "0.3",
        "0.9",
    )


@given(st.lists(st.text(max_size=400), max_size=4))
def test_no_description_breaks_the_table(texts: list[str]) -> None:
    rows = read_ledger(ledger_text([verdict(number, text) for number, text in enumerate(texts)]))
    assert [row["iteration"] for row in rows] == [str(number) for number in range(len(texts))]
    assert all(row["warnings"] == "" and row["why"] == "not shown to be better" for row in rows)


def test_writing_again_leaves_no_row_twice_and_mends_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "session" / "results.tsv"
    write_ledger(path, [verdict(1)])
    with path.open("a") as file:
        file.write("half a ro")
    write_ledger(path, [verdict(1), verdict(2)])
    write_ledger(path, [verdict(1), verdict(2)])
    assert [row["iteration"] for row in read_ledger(path.read_text())] == ["1", "2"]
    assert list(path.parent.iterdir()) == [path]


def test_what_another_has_written_into_the_ledger_is_put_back(tmp_path: Path) -> None:
    path, since = tmp_path / "results.tsv", time.time() - 60
    assert not put_back(path, [], since)
    path.write_text("iteration\n9\n")
    assert put_back(path, [], since) and not path.exists()
    write_ledger(path, [verdict()])
    assert not put_back(path, [verdict()], since)
    with path.open("a") as file:
        file.write("0123\t0.99\n")
    assert not put_back(path, [verdict()], time.time() + 60)
    for _ in range(2):
        assert put_back(path, [verdict()], since)
        assert path.read_text() == ledger_text([verdict()])
        path.unlink()
        path.symlink_to(tmp_path / "elsewhere")
