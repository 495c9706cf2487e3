"""Where the bench of several researchers says that slots were idle."""

import pytest

from bench.idle import lost


def test_each_idle_second_of_a_slot_has_one_cause() -> None:
    runs = [
        {"created_at": 10.0, "started_at": 12.0, "finished_at": 20.0},
        {"created_at": 10.0, "started_at": 10.0, "finished_at": 15.0},
        {"created_at": 40.0, "started_at": 40.0, "finished_at": 50.0},
    ]
    calls = [
        {"kind": "iteration", "started_at": 0.0, "finished_at": 10.0},
        {"kind": "reflection", "started_at": 20.0, "finished_at": 25.0},
        {"kind": "iteration", "started_at": 25.0, "finished_at": 40.0},
    ]
    found = lost(runs, calls, slots=2, begin=0.0)
    wanted = {
        "first call": 20.0,
        "handing over": 2.0,
        "reflection": 10.0,
        "thinking": 5.0 + 30.0,
        "end": 10.0,
    }
    assert found == pytest.approx(wanted)
    assert sum(found.values()) + 8 + 5 + 10 == pytest.approx(2 * 50)
