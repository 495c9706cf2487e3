"""Names of runs as they are shown."""

import pytest

from wildloop.flows.store.run_mapping import shown_name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("größer-lr=1e-3 µ", "größer-lr=1e-3 µ"),
        ("\x1b]0;owned\x07\x1b[2Jclean", "�]0;owned��[2Jclean"),
        ("a\rb\x9b31m", "a�b�31m"),
    ],
)
def test_control_characters_never_reach_a_terminal(name: str, shown: str) -> None:
    assert shown_name(name) == shown
