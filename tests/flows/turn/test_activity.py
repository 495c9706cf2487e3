"""The activity log: bounded, masked, continued."""

import json
from pathlib import Path

from wildloop.flows.text.redaction import Redactor
from wildloop.flows.turn.activity import ActivityLog, Allowance
from wildloop.flows.turn.transcripts import join_events


def log(folder: Path, **fields: int) -> ActivityLog:
    return ActivityLog(folder / "agents" / "activity.log", Redactor(["hidden-value"]), **fields)


def test_lines_are_short_clean_and_out_of_git(tmp_path: Path) -> None:
    written = log(tmp_path).add("iteration-01", "ls\n  hidden-value " + "x" * 1000)
    text = (tmp_path / "agents" / "activity.log").read_text()
    assert text.endswith(f" iteration-01 | {written}\n")
    assert written.startswith("ls [redacted] xxx")
    assert len(text) < 400
    assert (tmp_path / "agents" / ".gitignore").read_text() == "*\n"


def test_full_log_is_put_aside_and_begun_anew(tmp_path: Path) -> None:
    small = log(tmp_path, most_bytes=500)
    for number in range(40):
        small.add("planning", f"line {number}")
    sizes = [path.stat().st_size for path in (tmp_path / "agents").glob("activity.log*")]
    assert len(sizes) == 2 and max(sizes) <= 500
    assert "line 39" in (tmp_path / "agents" / "activity.log").read_text()


def test_call_that_is_adopted_is_told_from_where_it_was(tmp_path: Path) -> None:
    mine = log(tmp_path)
    assert mine.lines_since("planning | call a begins") is None
    mine.add("planning", "call a begins")
    mine.add("planning", "one")
    mine.add("planning", "two")
    assert mine.lines_since("planning | call a begins") == 2
    assert mine.lines_since("planning | call b begins") is None


def test_flow_run_log_takes_a_burst_then_a_few_a_second_then_no_more() -> None:
    now = [0.0]
    allowance = Allowance(most=7, burst=3, per_second=2.0, clock=lambda: now[0])
    assert [allowance.take() for _ in range(5)] == [True, True, True, False, False]
    assert allowance.left_out == 2
    now[0] = 1.0
    assert [allowance.take() for _ in range(3)] == [True, True, False]
    now[0] = 100.0
    assert [allowance.take() for _ in range(3)] == [True, True, False]


def test_events_of_several_attempts_are_joined_in_whole_lines(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b'{"n": 1}\n{"n": 2}')
    (tmp_path / "b").write_bytes(b'\n{"n": 3}\n')
    join_events([tmp_path / "a", tmp_path / "missing", tmp_path / "b"], tmp_path / "all")
    assert (tmp_path / "all").read_bytes() == b'{"n": 1}\n{"n": 2}\n{"n": 3}\n'


def test_line_that_does_not_fit_is_left_out_and_told(tmp_path: Path) -> None:
    large = json.dumps({"text": "x" * 600_000})
    (tmp_path / "a").write_text(f'{{"n": 1}}\n{large}\n{{"n": 2}}\n')
    join_events([tmp_path / "a"], tmp_path / "all", most_bytes=1000)
    lines = [json.loads(line) for line in (tmp_path / "all").read_text().splitlines()]
    assert lines[:2] == [{"n": 1}, {"n": 2}]
    assert lines[2]["note"] == f"{len(large)} bytes of events were left out"
