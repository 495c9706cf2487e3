"""When a night begins, by the clock of its time zone."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from prefect.server.schemas.schedules import CronSchedule

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.worker.daily import cron_schedule, time_of

BERLIN = ZoneInfo("Europe/Berlin")


async def starts(at: str, since: datetime, count: int) -> list[str]:
    """The next starts as Prefect's scheduler makes them, by the zone's clock and UTC's hour."""
    made = cron_schedule(at, "Europe/Berlin")
    schedule = CronSchedule(cron=made.cron, timezone=made.timezone, day_or=made.day_or)
    dates = await schedule.get_dates(n=count, start=since)
    return [
        f"{one.astimezone(BERLIN):%d %H:%M} {one.astimezone(ZoneInfo('UTC')):%H}" for one in dates
    ]


async def test_a_night_begins_at_the_same_hour_of_the_clock_when_it_is_changed() -> None:
    spring = datetime(2026, 3, 27, 12, tzinfo=BERLIN)
    assert await starts("22:00", spring, 3) == ["27 22:00 21", "28 22:00 21", "29 22:00 20"]
    autumn = datetime(2026, 10, 23, 12, tzinfo=BERLIN)
    assert await starts("22:00", autumn, 3) == ["23 22:00 20", "24 22:00 20", "25 22:00 21"]


async def test_an_hour_that_is_left_out_or_comes_twice_is_one_night() -> None:
    spring = datetime(2026, 3, 28, 12, tzinfo=BERLIN)
    nights = await starts("02:30", spring, 3)
    assert [one.split()[0] for one in nights] == ["29", "30", "31"]
    autumn = datetime(2026, 10, 24, 12, tzinfo=BERLIN)
    nights = await starts("02:30", autumn, 3)
    assert [one.split()[0] for one in nights] == ["25", "26", "27"]


def test_times_and_zones_are_read_and_refused() -> None:
    assert time_of(cron_schedule("7:05", "UTC").cron) == "07:05"
    for other in ("@daily", "0 22 * * 1-5", "0 0 22 * * *", "*/5 * * * *"):
        assert time_of(other) == other
    for at, zone in (("24:00", "UTC"), ("22:00", "Mars/Olympus")):
        with pytest.raises(InvalidRequest):
            cron_schedule(at, zone)
