"""The Markdown that a report becomes."""

import pytest

from bench.report import markdown, number
from tests.bench.example_report import example_report


def lines_with(words: str) -> list[str]:
    return [line for line in markdown(example_report()).splitlines() if words in line]


def test_subjects_stand_side_by_side_with_the_aim() -> None:
    line = lines_with("request to first byte, idle")[0]
    cells = "| 0.2 / 0.9 / 0.9 (3) | 6 / 7 / 7 (2) | <= 0.5 | yes |"
    assert line == f"| request to first byte, idle (s) {cells}"


def test_what_a_subject_cannot_give_is_a_dash_and_failed_requests_are_shown() -> None:
    line = lines_with("GET /runs, 8 clients")[0]
    assert "| 70, 2 failed | - |" in line
    assert line.endswith("| no |")


def test_growth_has_a_column_for_each_size() -> None:
    assert lines_with("with so many recorded runs") == [
        "| with so many recorded runs | 0 | 1,000 |"
    ]
    grown = lines_with("wildloop: request to first byte")
    assert grown[0].endswith("| 0.2 / 0.9 / 0.9 (3) | 0.3 / 0.4 / 0.4 (3) |")


def test_failures_and_cuts_are_said() -> None:
    text = markdown(example_report())
    assert "- flow.serve(), gap, 0 recorded: not within 120 s" in text
    assert "- **cut**: --quick: runs 200 -> 20" in text


def test_machine_and_command_are_said() -> None:
    text = markdown(example_report())
    assert text.startswith("`python -m bench.engine --quick`\n")
    assert "2 cores, Python 3.11.7, Prefect 3.8.8" in text
    assert "load average before: 0.2; others kept 0.50 cores busy." in text


@pytest.mark.parametrize(
    ("value", "shown"), [(0.12345, "0.123"), (12.345, "12.3"), (1234.5, "1234"), (0.0, "0")]
)
def test_numbers_have_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown
