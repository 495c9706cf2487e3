"""Metrics are read once each, in chunks, whatever the file does."""

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.alerts import tail as tail_module
from flows.alerts.tail import MetricsTail, stat_of


def size(path: Path) -> int:
    found = stat_of(path)
    return found.st_size if found else 0


def read(tail: MetricsTail, path: Path) -> list[float | None]:
    return [point.value for point in tail.read(size(path))]


def test_a_file_that_is_not_there_has_no_points(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read(MetricsTail(path), path) == []
    assert MetricsTail(path).read(10) == []


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.integers(0, 9999), max_size=30),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=60),
)
def test_every_point_is_read_once_however_the_file_grows(
    tmp_path_factory: object, values: list[int], cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("tail") / "metrics.jsonl"  # type: ignore[attr-defined]
    data = "".join(json.dumps({"loss": value}) + "\n" for value in values).encode()
    tail, got, at = MetricsTail(path), [], 0
    for cut in [*cuts, len(data)]:
        with path.open("ab") as file:
            file.write(data[at : at + cut])
        at += cut
        got += read(tail, path)
    assert got == values


def test_a_shortened_file_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tail = MetricsTail(path)
    path.write_text('{"loss": 1}\n{"loss": 2}\n')
    assert read(tail, path) == [1, 2]
    path.write_text('{"loss": 3}\n')
    assert read(tail, path) == [3]


def test_broken_lines_and_binary_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"loss": 1}\n\xff\xfe\x00\n[1]\n{"loss": NaN}\n{"loss"\n{"loss": 2}\n')
    assert read(MetricsTail(path), path) == [1, None, 2]


def test_a_large_file_is_read_in_chunks_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    count = 3 * tail_module.CHUNK_BYTES // 100
    path.write_text("".join(f'{{"loss": {n}}}'.ljust(99) + "\n" for n in range(count)))
    tail, looks = MetricsTail(path), []
    while True:
        looks.append(read(tail, path))
        if not tail.is_behind:
            break
    assert [value for look in looks for value in look] == list(range(count))
    assert max(len(look) for look in looks) <= tail_module.CHUNK_BYTES // 100


def test_an_endless_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"x" * (2 * tail_module.CHUNK_BYTES + 10) + b'\n{"loss": 7}\n')
    tail, got = MetricsTail(path), []
    for _ in range(4):
        got += read(tail, path)
    assert got == [7]


def test_a_huge_backlog_is_skipped_but_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with path.open("wb") as file:
        file.truncate(20 * tail_module.BACKLOG_BYTES)
        file.seek(0, 2)
        file.write(b'\n{"loss": 9}\n')
    tail, got, looks = MetricsTail(path), [], 0
    while not got:
        got += read(tail, path)
        looks += 1
    assert got == [9]
    assert looks <= tail_module.BACKLOG_BYTES // tail_module.CHUNK_BYTES + 2
