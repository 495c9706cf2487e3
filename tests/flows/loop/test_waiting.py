"""What a waiting agent is called for."""

from pathlib import Path

import pytest

from tests.support.records import made_run
from wildloop.flows.loop.waiting import Batch
from wildloop.flows.models.run import Run

ENDED = [made_run(n, 0.5) for n in (1, 2)]
IDS = {f"id-{n:04d}" for n in range(1, 7)}


def failed(number: int, error: str = "exit code 1") -> Run:
    return made_run(number, error=error, run_dir="/nowhere")


def test_a_batch_of_six_is_no_news_while_runs_go_on() -> None:
    assert Batch(IDS, "all").news(ENDED) is None
    assert Batch(IDS, "failed").news(ENDED) is None


def test_the_first_end_is_news_where_it_is_asked_for() -> None:
    assert Batch(IDS, "first").news(ENDED[:1]) == "1 of the 6 runs of this batch have ended"
    assert Batch(IDS, "first").news([]) is None


def test_a_failure_is_news_at_once() -> None:
    for wake in ("all", "failed"):
        told = Batch(IDS, wake).news([*ENDED, failed(3)])  # type: ignore[arg-type]
        assert told == "run-3 has failed (3 of 6 have ended)"


def test_a_known_cause_wakes_only_who_asks_for_every_failure() -> None:
    known = [failed(1)]
    assert Batch(IDS, "all", known).news([failed(2)]) is None
    assert Batch(IDS, "all", known).news([failed(2, "out of memory")]) is not None
    assert Batch(IDS, "failed", known).news([failed(2)]) is not None


@pytest.mark.parametrize("text", ["KeyError: 'lr'", "ValueError: shapes"])
def test_causes_are_read_from_logs(tmp_path: Path, text: str) -> None:
    runs = []
    for number, said in ((1, "KeyError: 'lr'"), (2, text)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "run.log").write_text(said)
        runs.append(made_run(number, run_dir=str(folder)))
    found = Batch(IDS, "all", runs[:1]).news(runs[1:])
    assert (found is None) == (text == "KeyError: 'lr'")
