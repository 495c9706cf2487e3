"""How hosts and devices were used over the night, as places in a drawing. Pure functions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wildloop.flows.models.use import UseRecord, UseSample

WIDTH, HEIGHT = 600.0, 110.0
# A gap longer than this many samples is one: nobody has looked.
GAP = 2.5


@dataclass(frozen=True)
class Course:
    """A curve in a drawing of 600 by 110; its parts where nobody looked in between."""

    what: str
    unit: str
    top: float
    last: float | None
    most: float
    parts: list[str]


@dataclass(frozen=True)
class HostCourses:
    """The curves of one host, from `since` to `until` (Unix seconds)."""

    host: str
    since: float
    until: float
    every_seconds: float
    courses: list[Course]


def courses_of(record: UseRecord) -> HostCourses | None:
    """The curves of a host; None as long as there is no sample."""
    samples = record.samples
    if not samples:
        return None
    devices = sorted({name for sample in samples for name in sample.devices}, key=_in_order)
    drawn = [
        _course(record, "CPU", "%", 100.0, lambda one: one.cpu),
        _course(record, "memory", "MiB", record.memory_total, lambda one: one.memory),
    ]
    for name in devices:
        drawn += [
            _course(record, f"device {name}, use", "%", 100.0, _of(name, 1)),
            _course(
                record,
                f"device {name}, memory",
                "MiB",
                record.device_totals.get(name),
                _of(name, 0),
            ),
        ]
    kept = [one for one in drawn if one is not None]
    return HostCourses(record.host, samples[0].at, samples[-1].at, record.every_seconds, kept)


def _of(name: str, place: int) -> Callable[[UseSample], float | None]:
    return lambda one: one.devices[name][place] if name in one.devices else None


def _course(
    record: UseRecord,
    what: str,
    unit: str,
    top: float | None,
    value: Callable[[UseSample], float | None],
) -> Course | None:
    told = [(one.at, given) for one in record.samples if (given := value(one)) is not None]
    if not told:
        return None
    most = max(given for _, given in told)
    ceiling = max(top or 0.0, most) or 1.0
    first, last = record.samples[0].at, record.samples[-1].at
    span = (last - first) or 1.0
    parts: list[list[str]] = []
    before: float | None = None
    for at, given in told:
        if before is None or at - before > GAP * record.every_seconds:
            parts.append([])
        x, y = WIDTH * (at - first) / span, HEIGHT - HEIGHT * max(0.0, given) / ceiling
        parts[-1].append(f"{x:.1f},{y:.1f}")
        before = at
    lines = [" ".join(_seen(one)) for one in parts]
    now = told[-1][1] if told[-1][0] == last else None
    return Course(what, unit, ceiling, now, most, lines)


def _seen(points: Sequence[str]) -> list[str]:
    """A single point as a short stroke, which is seen."""
    if len(points) > 1:
        return list(points)
    x, y = points[0].split(",")
    return [points[0], f"{float(x) + 1:.1f},{y}"]


def _in_order(name: str) -> tuple[int, str]:
    return (int(name) if name.isdecimal() else 10_000, name)
