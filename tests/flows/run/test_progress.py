"""How far a run is, as its page in Prefect shows it."""

import pytest

from tests.support.records import made_run
from wildloop.flows.models.run import RunStatus
from wildloop.flows.run.progress import expected_seconds, told


def test_runs_of_the_session_tell_how_long_one_takes() -> None:
    took = [
        made_run(n, 0.5, started_at=100.0, finished_at=100.0 + seconds)
        for n, seconds in enumerate((10.0, 40.0, 20.0))
    ]
    failed = made_run(9, started_at=0.0, finished_at=1.0)
    working = made_run(10, 0.5, status=RunStatus.RUNNING, started_at=0.0, finished_at=None)
    assert expected_seconds([*took, failed, working], 3600.0) == 20.0
    assert expected_seconds([failed, working], 3600.0) == 3600.0
    assert expected_seconds([], None) is None


@pytest.mark.parametrize(
    ("seconds", "expected", "percent", "text"),
    [
        (30.0, 120.0, 25.0, "works for 30 s of about 2 min; loss 0.5; lr 0.001"),
        (600.0, 300.0, 99.0, "works for 10 min of about 5 min; loss 0.5; lr 0.001"),
    ],
)
def test_bar_stays_below_the_end(
    seconds: float, expected: float, percent: float, text: str
) -> None:
    last = {"loss": 0.5, "lr": 0.001, "step": 10.0}
    assert told(seconds, expected, last) == (percent, text)
