"""The curves of a host's use."""

from wildloop.flows.models.use import UseRecord, UseSample
from wildloop.shim.page.courses import HEIGHT, WIDTH, courses_of


def record(*samples: UseSample) -> UseRecord:
    return UseRecord(
        host="h",
        every_seconds=120,
        memory_total=1000,
        device_totals={"0": 80},
        samples=list(samples),
    )


def test_curves_go_from_the_first_sample_to_the_last_on_the_whole_scale() -> None:
    found = courses_of(
        record(
            UseSample(at=0, cpu=0, memory=500, devices={"0": (40, 100)}),
            UseSample(at=120, cpu=100, memory=1000, devices={"0": (80, 50)}),
        )
    )
    assert found is not None and (found.since, found.until) == (0, 120)
    names = [one.what for one in found.courses]
    assert names == ["CPU", "memory", "device 0, use", "device 0, memory"]
    cpu, memory, use, held = found.courses
    assert cpu.parts == [f"0.0,{HEIGHT:.1f} {WIDTH:.1f},0.0"]
    assert (memory.top, memory.most, memory.last) == (1000, 1000, 1000)
    assert (use.top, use.last, held.top, held.most) == (100, 50, 80, 80)


def test_a_time_in_which_nobody_looked_is_a_gap() -> None:
    at = [0, 120, 240, 4000, 4120]
    found = courses_of(record(*(UseSample(at=one, memory=1) for one in at)))
    assert found is not None
    (memory,) = found.courses
    assert len(memory.parts) == 2


def test_a_device_that_has_gone_has_no_value_now() -> None:
    first = UseSample(at=0, memory=1, devices={"0": (1, 1), "10": (1, None), "2": (None, None)})
    found = courses_of(record(first, UseSample(at=120, memory=1)))
    assert found is not None
    assert [one.what for one in found.courses][1:] == [
        "device 0, use",
        "device 0, memory",
        "device 10, memory",
    ]
    assert [one.last for one in found.courses][1:] == [None, None, None]


def test_nothing_noted_is_no_curve() -> None:
    assert courses_of(record()) is None
