"""What a run puts in place of its files: no link is followed, and no pipe is waited for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from wildloop.blocks.launchers.record import EXIT_CODE, NotRegular, open_to_read, read_exit_code
from wildloop.flows.metrics import read_all
from wildloop.flows.run.attempts import log_tail


def put_link(path: Path) -> None:
    """As a run would that wants another file to be shown."""
    secret = path.with_name("secret")
    secret.write_text('{"step": 1, "loss": 0.5}\n')
    path.symlink_to(secret)


@pytest.mark.parametrize("put", [os.mkfifo, put_link])
def test_what_is_no_file_of_the_run_is_not_read(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    for name in (EXIT_CODE, "run.log", "metrics.jsonl"):
        put(tmp_path / name)
    assert read_exit_code(tmp_path) is None
    assert log_tail(tmp_path / "run.log") == ""
    assert read_all(tmp_path, None).last == {}
    with pytest.raises(NotRegular):
        open_to_read(tmp_path / "run.log")
