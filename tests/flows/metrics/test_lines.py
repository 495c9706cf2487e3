"""Metrics in lines as researchers and their libraries write them, and what is none."""

import re
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.library_lines import BY_LIBRARY
from tests.support.printed_lines import BLOCKS, NO_METRICS, WRITTEN
from wildloop.flows.metrics.lines import LineReader
from wildloop.flows.metrics.log import LogReader
from wildloop.flows.metrics.series import Sample


def read(text: str, reader: LineReader | None = None) -> list[Sample]:
    reader = reader or LineReader()
    found = [sample for line in re.split(r"[\r\n]", text) for sample in reader.feed(line)]
    return found + reader.flush()


def told(samples: Iterable[Sample]) -> list[tuple[str, float | None, float | None]]:
    return [(one.name, one.value, one.step) for one in samples]


@pytest.mark.parametrize(("line", "found"), WRITTEN, ids=[line for line, _ in WRITTEN])
def test_a_metric_is_read_as_it_is_written(
    line: str, found: list[tuple[str, float | None, float | None]]
) -> None:
    assert told(read(line)) == found


@pytest.mark.parametrize("line", NO_METRICS)
def test_settings_prose_dates_versions_sizes_and_paths_are_no_metrics(line: str) -> None:
    assert told(read(line)) == []


@pytest.mark.parametrize("name", [*BLOCKS, *BY_LIBRARY])
def test_lines_that_belong_together(name: str) -> None:
    lines, found = (BLOCKS | BY_LIBRARY)[name]
    assert told(read("\n".join(lines))) == found


def test_settings_above_a_metric_are_none_and_what_stands_below_it_is_one() -> None:
    log = "alpha: 0.5\nport: 29500\noptimizer: adam\n\nval_acc: 0.91\nmy_own: 0.3\n"
    assert told(read(log)) == [("val_acc", 0.91, None), ("my_own", 0.3, None)]


def test_a_name_that_is_asked_for_is_a_metric_whatever_its_words_say() -> None:
    assert told(read("latency_ms: 12", LineReader(["latency_ms"]))) == [("latency_ms", 12, None)]
    assert told(read("num_steps: 953", LineReader(["num_steps"]))) == [("num_steps", 953, None)]


def test_a_pattern_reads_what_no_reader_knows() -> None:
    reader = LineReader(["quality"], r"step (?P<step>\d+) came out at (?P<value>[\d.]+)", "quality")
    log = "in step 3 came out at 0.7 points\nin step 4 came out at 0.8 points"
    assert told(read(log, reader)) == [("quality", 0.7, 3), ("quality", 0.8, 4)]


def test_only_the_end_of_a_bar_that_is_drawn_anew_counts_within_an_epoch() -> None:
    bar = "Epoch 1: {}%|##| {}/4 [00:00<00:00, 5it/s, loss={}]"
    log = "\r".join(bar.format(25 * n, n, 1 / n) for n in (1, 2, 4))
    assert told(read(log)) == [("loss", 0.25, 1)]
    assert told(read(bar.format(50, 2, 0.5))) == [("loss", 0.5, 1)], "a run that ended midway"


def test_what_a_log_says_of_units_is_kept() -> None:
    reader = LineReader()
    read("Accuracy: 91.0%", reader)
    assert reader.units == {"Accuracy": "%"}


@given(st.text(max_size=200))
def test_no_line_raises(line: str) -> None:
    LineReader(["x"]).feed(line)


WORDS = ("the", "we", "a", "file", "of", "with", "was", "and", "is", "saved", "run", "took", "at")
PROSE = st.lists(
    st.sampled_from(
        [
            "the",
            "we",
            "then",
            "a",
            "file",
            "of",
            "with",
            "was",
            "and",
            "it",
            "is",
            "model",
            "saved",
            "run",
            "took",
            "at",
        ]
    ),
    min_size=3,
    max_size=8,
)


@given(PROSE, st.floats(0, 1e6).map(lambda value: f"{value:.4g}"), st.integers(0, 7))
def test_a_number_in_prose_is_no_metric(words: list[str], number: str, place: int) -> None:
    line = " ".join([*words[:place], "the", number, *words[place:]])
    assert read(line) == []


NAMES = st.sampled_from(["loss", "val_acc", "test/f1", "Val Loss", "eval_accuracy", "train-rmse"])
PREFIXES = st.sampled_from(
    ["", "INFO:root:", "[2026-11-29 05:00:00,123][__main__][INFO] - ", "12:30:45 ", "[INFO] ",
     "2026-11-29T05:00:00Z ", "[rank3]: ", "wandb: ", "\x1b[32m"]
)  # fmt: skip
SIGNS = st.sampled_from([": ", "=", " = ", ":", " : "])


@given(PREFIXES, NAMES, SIGNS, st.floats(-1e6, 1e6), st.integers(0, 10**6))
def test_name_value_and_step_come_back_whatever_stands_around(
    prefix: str, name: str, sign: str, value: float, step: int
) -> None:
    for line in (f"{prefix}step {step}: {name}{sign}{value!r}", f"{prefix}{name}{sign}{value!r}"):
        (sample,) = read(line)
        assert sample.name == (name if " " not in name else name.lower().replace(" ", "_"))
        assert sample.value == pytest.approx(value)
        assert sample.step == (step if "step" in line else None)


@given(
    st.sampled_from(["lr", "batch_size", "seed", "port", "weight_decay", "num_epochs", "dropout"]),
    SIGNS,
    st.floats(0, 1e5),
)
def test_no_value_of_a_setting_is_a_metric(name: str, sign: str, value: float) -> None:
    assert read(f"{name}{sign}{value!r}") == []


def test_a_long_log_is_read_quickly() -> None:
    """A million lines of one form are a matter of seconds; measured: 7 to 11 us of CPU a line."""
    reader, count = LineReader(), 20_000
    start = time.process_time()
    for step in range(count):
        reader.feed(f"2026-11-29 05:00:00,1 - me - INFO - step {step}: loss {1 / (step + 1):.4f}")
    assert (time.process_time() - start) / count < 100e-6


@pytest.mark.parametrize("times", [2, 3, 50])
def test_lines_that_repeat_tell_what_they_tell_one_by_one(tmp_path: Path, times: int) -> None:
    blocks = [line for lines, _ in (BLOCKS | BY_LIBRARY).values() for line in lines]
    printed = "\n".join([*NO_METRICS, *(line for line, _ in WRITTEN), *blocks])
    lines = [line for line in re.split(r"[\r\n]+|\x08+", printed) for _ in range(times)]
    path, one_by_one = tmp_path / "run.log", LineReader()
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    fed = [sample for line in lines if line for sample in one_by_one.feed(line)]
    assert len(fed) > len(WRITTEN)
    assert list(LogReader(path).read()) == fed
