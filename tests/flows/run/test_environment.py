"""The note of a run's environment: one file for all runs of a project that have the same."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from wildloop.flows.run import environment


def test_runs_that_begin_together_write_one_note(tmp_path: Path) -> None:
    """Each of them failed whose draft another one had put in place."""
    together, text = 8, "numpy==2.0\n" * 5_000
    barrier = Barrier(together)

    def begin(path: Path) -> None:
        barrier.wait()
        environment._write_once(path, text)

    with ThreadPoolExecutor(together) as pool:
        for number in range(40):
            path = tmp_path / ".wild" / "environments" / f"{number}.txt"
            list(pool.map(begin, [path] * together))
            assert path.read_text() == text
    assert not list(path.parent.glob("*.tmp"))
