"""What of a log is worth a place in a prompt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.text.log_end import CHARACTERS, LINES, error_line, likeness, log_end

TRACEBACK = """\
Traceback (most recent call last):
  File "train.py", line 90, in <module>
    main()
  File "train.py", line 12, in main
    model(batch)
RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB
"""
BARS = "".join(f"\rEpoch 1: {n}%|####      | {n}/100 [00:01<00:09, 11.2it/s]" for n in range(100))


def test_traceback_is_found_behind_progress_bars() -> None:
    log = f"loading\n{BARS}\n{TRACEBACK}{BARS}\n" + "100%|##########| 10/10\n" * 300
    assert log_end(log) == TRACEBACK.rstrip()
    assert error_line(log).startswith("RuntimeError: CUDA out of memory")


def test_the_last_of_two_tracebacks_counts() -> None:
    assert "ValueError: b" in log_end(TRACEBACK + "\n" + TRACEBACK.replace(
        "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB", "ValueError: b"
    ))  # fmt: skip


def test_long_tracebacks_keep_head_and_exception() -> None:
    frames = "".join(f'  File "a.py", line {n}, in f{n}\n    f{n}()\n' for n in range(50))
    shown = log_end(f"Traceback (most recent call last):\n{frames}KeyError: 'lr'\n").splitlines()
    assert shown[:2] == ["Traceback (most recent call last):", "  ..."]
    assert shown[-1] == "KeyError: 'lr'"
    assert len(shown) <= LINES


def test_an_error_far_from_the_end_is_shown_with_what_is_around_it() -> None:
    after = "\n".join(f"cleaning up {'x' * n}" for n in range(40))
    shown = log_end(f"start\nfatal: no data in /tmp\n{after}")
    assert "fatal: no data in /tmp" in shown
    assert len(shown.splitlines()) <= LINES


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        ("", ""),
        ("\n\n", ""),
        ("one\ntwo\n", "one\ntwo"),
        ("a\rb\rc\n", "c"),
        ("\x1b[31mred\x1b[0m\n", "red"),
        ("step 1 loss 0.5\nstep 2 loss 0.4\n", "step 1 loss 0.5"),
        ("50%|█████     | 5/10\n", ""),
    ],
)
def test_small_logs(log: str, shown: str) -> None:
    assert log_end(log) == shown


def test_alike_errors_have_one_likeness() -> None:
    assert likeness("Lost at 0x7f, step 12") == likeness("lost at  0xff, step 900")


@given(st.text())
def test_it_is_always_short(text: str) -> None:
    assert len(log_end(text)) <= CHARACTERS + 3
    assert len(error_line(text)) <= 300
