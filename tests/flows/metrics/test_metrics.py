"""Metric series and summaries, read from a run's files."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.metrics import (
    best_value,
    downsample,
    last_values,
    parse_line,
    read_points,
    read_series,
    run_metrics,
    series,
    summary_from_log,
)
from wildloop.flows.models.run import MetricPoint


def point(name: str, value: float | None, step: float | None = None) -> MetricPoint:
    return MetricPoint(name=name, value=value, step=step)


def test_both_forms_are_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"name": "loss", "value": 0.5, "step": 1, "time": 7}\n'
        '{"step": 2, "epoch": 1, "timestamp": 8.5, "loss": 0.3, "acc": 1, "ok": true, "tag": "x"}\n'
        '{"epoch": 3, "loss": 0.2}\n'
    )
    points, end = read_points(path)
    assert points == [
        MetricPoint(name="loss", value=0.5, step=1, time=7),
        MetricPoint(name="loss", value=0.3, step=2, time=8.5),
        MetricPoint(name="acc", value=1, step=2, time=8.5),
        MetricPoint(name="loss", value=0.2, step=3),
    ]
    assert end == path.stat().st_size


def test_a_series_is_read_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"loss": 1}\n{"loss": 2')
    points, end = read_points(path)
    assert ([p.value for p in points], end) == ([1], 12)
    with path.open("a") as file:
        file.write('5}\n{"loss": 3}')
    points, end = read_points(path, end)
    assert [p.value for p in points] == [25, 3]
    with path.open("a") as file:
        file.write('\n{"loss": 4}\n')
    assert [p.value for p in read_points(path, end)[0]] == [4]


def test_a_file_that_became_shorter_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"loss": 1}\n')
    assert read_points(path, 1000) == ([point("loss", 1)], 12)


def test_a_missing_file_has_no_points(tmp_path: Path) -> None:
    assert read_points(tmp_path / "metrics.jsonl", 5) == ([], 5)


def test_broken_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        b'{"loss": 1}\n\nnot json\n[1]\n"text"\n\xff\xfe\n'
        + b'{"loss": 2\n'
        + b"[" * 100_000
        + b'\n{"loss": 3}\r\n'
    )
    reading = read_series(path)
    assert [p.value for p in reading.points] == [1, 3]
    assert reading.broken == 6
    assert reading.next_byte == path.stat().st_size


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400])
def test_what_is_not_finite_has_no_value(value: str) -> None:
    assert parse_line(f'{{"loss": {value}, "step": 1}}') == [point("loss", None, 1)]


@pytest.mark.parametrize(
    "line",
    [
        '{"loss": "0.3"}',
        '{"loss": true}',
        '{"loss": null}',
        '{"loss": [1]}',
        '{"step": 1}',
        '{"name": "loss", "value": "high"}',
        '{"": 1}',
        '{"a\\u0000b": 1}',
        '{"\\ud800": 1}',
        json.dumps({"x" * 201: 1}),
        "{}",
        "",
    ],
)
def test_lines_without_a_usable_number_have_no_points(line: str) -> None:
    assert parse_line(line) == []


def test_a_step_that_is_no_number_gives_way_to_the_epoch() -> None:
    assert parse_line('{"step": "x", "epoch": 2, "a": 1}') == [point("a", 1, 2)]


@given(st.binary() | st.text())
def test_no_line_raises(line: bytes | str) -> None:
    parse_line(line)


def test_series_last_and_best_values() -> None:
    points = [
        point("loss", 2),
        point("acc", 0.5),
        point("loss", 1),
        point("loss", None),
        point("none", None),
    ]
    assert {name: len(found) for name, found in series(points).items()} == {
        "loss": 3,
        "acc": 1,
        "none": 1,
    }
    assert last_values(points) == {"loss": 1, "acc": 0.5}
    assert best_value(points, "loss", "min") == 1
    assert best_value(points, "loss", "max") == 2
    assert best_value(points, "none", "max") is None
    assert best_value(points, "missing", "min") is None


@given(
    st.lists(st.floats(-100, 100) | st.none(), max_size=200),
    st.integers(min_value=-1, max_value=60),
)
def test_downsampling_keeps_order_extremes_and_ends(values: list[float | None], n: int) -> None:
    points = [point("a", value, step) for step, value in enumerate(values)]
    kept = downsample(points, n)
    assert len(kept) <= max(n, 0)
    steps = [p.step for p in kept]
    assert steps == sorted(set(steps), key=lambda step: step or 0)
    if n >= len(points):
        assert kept == points
    finite = [value for value in values if value is not None]
    if n >= 2 and finite:
        left = [p.value for p in kept if p.value is not None]
        assert (min(left), max(left)) == (min(finite), max(finite))
    if n >= 4 and points:
        assert kept[0] == points[0]
        assert kept[-1] == points[-1]


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ("val_accuracy: 0.97\n", {"val_accuracy": 0.97}),
        ("loss=1e-3\n  acc = .5", {"loss": 0.001, "acc": 0.5}),
        ("loss: 0.31, acc: 0.9\nf1=1 | auc=2", {"loss": 0.31, "acc": 0.9, "f1": 1, "auc": 2}),
        ("val/acc@1: 93.5%", {"val/acc@1": 93.5}),
        ("\x1b[32mloss\x1b[0m: \x1b[1m0.5\x1b[0m", {"loss": 0.5}),
        ("\x1b]0;title\x07loss: 0.5", {"loss": 0.5}),
        ("loss: 2\rloss: 1\r\n", {"loss": 1}),
        ("loss: 2\nloss: nan", {}),
        ("loss: nan\nloss: inf", {}),
        ("step: 10\nEpoch: 3\ntime=5", {}),
        ("12:30\n2026-01-02 10:00:00 loss: 1", {"loss": 1}),
        ("took: 3.2s\nhost: 10.0.0.1\nver: 1.2.3\nx: 1 (best)", {}),
        ("the loss: 0.5\nat http://a:80\nmissing: \n: 5\n=", {}),
        ("Traceback: 1 error", {}),
        ("a: 1b=2", {}),
        ("loss: 1\n" + "text\n" * 40, {"loss": 1}),
        ("a: 1 " * 1000, {}),
        ("", {}),
    ],
)
def test_summary_lines_of_a_log(log: str, found: dict[str, float]) -> None:
    assert summary_from_log(log) == found


@given(st.text())
def test_no_log_raises(log: str) -> None:
    assert all(math.isfinite(value) for value in summary_from_log(log).values())


def test_run_metrics_are_those_of_the_series(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"loss": 2}\n{"acc": 1}\nbroken\n{"loss": 1}')
    (tmp_path / "run.log").write_text("other: 3\n")
    assert run_metrics(tmp_path) == {"loss": 1, "acc": 1}


@pytest.mark.parametrize("series_text", [None, "", "broken\n"])
def test_run_metrics_fall_back_on_the_log(tmp_path: Path, series_text: str | None) -> None:
    if series_text is not None:
        (tmp_path / "metrics.jsonl").write_text(series_text)
    (tmp_path / "run.log").write_bytes(b"\xff\n" * 100_000 + b"loss: 3\n")
    assert run_metrics(tmp_path) == {"loss": 3}


def test_a_log_line_cut_by_the_tail_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text("my_" + "loss" * 20_000 + ": 3\n")
    assert run_metrics(tmp_path) == {}


def test_a_run_without_files_has_no_metrics(tmp_path: Path) -> None:
    assert run_metrics(tmp_path / "missing") == {}
