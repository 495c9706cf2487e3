"""When a limit ends, as an error message tells it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# The end of a long message says it.
READ_CHARACTERS = 4_000

_UNITS = r"(?:ms|milliseconds?|d|days?|h|hours?|hrs?|m|mins?|minutes?|s|secs?|seconds?)(?![a-z])"
_AMOUNTS = rf"(?:(?:\d+(?:\.\d+)?[ \t]*|\b(?:an?|one)[ \t]+){_UNITS}[ \t,]*(?:and[ \t]+)?)+"
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?|\b(?:an?|one)\b)\s*(ms|mil|d|h|m|s)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "mil": 0.001, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
# What follows one of these is the time that is asked for, not the span of a quota.
_HINT = r"(?:again\b|retry|retri|reset|until\b|available|renew|\bwait)"
_RETRY = (
    r"retry[-_ ]?(?:after|delay|in)(?:[-_ ]?(ms|milliseconds|seconds|secs?)\b)?"
    r"""["']?[ \t]*[:=]?[ \t]*["']?(?:about[ \t]+)?"""
)
_RETRY_AMOUNTS = re.compile(rf"{_RETRY}({_AMOUNTS})", re.IGNORECASE)
_RETRY_NUMBER = re.compile(rf"{_RETRY}(\d+(?:\.\d+)?)(?![\w:/-]|\.\d)", re.IGNORECASE)
_HINTED = re.compile(rf"{_HINT}[^\n]{{0,40}}?(?<![\d.])({_AMOUNTS})", re.IGNORECASE)
_PLAIN = re.compile(rf"\b(?:in|after)\s+({_AMOUNTS})", re.IGNORECASE)
_UNIX = re.compile(rf"(?:\||{_HINT}[^\n]{{0,40}}?(?<!\d))(\d{{10}})(?:\d{{3}}|\.\d+)?(?!\d)", re.I)
_ISO = re.compile(
    rf"{_HINT}[^\n]{{0,60}}?(\d{{4}}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?"
    r"[ \t]*(Z\b|UTC\b|GMT\b|[+-]\d\d:?\d\d\b)?",
    re.IGNORECASE,
)
_MAIL = re.compile(
    rf"(?:{_HINT}|retry-after)[^\n]{{0,40}}?"
    r"((?:mon|tue|wed|thu|fri|sat|sun), \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d (?:GMT|UTC|[+-]\d{4}))",
    re.IGNORECASE,
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = rf"({'|'.join(_MONTHS)})[a-z]*\.?"
_CLOCK = re.compile(
    rf"{_HINT}s?(?:[ \t_]?time)?[ \t]*(?:\bon[ \t]+)?[-:=·]?[ \t]*"
    rf"(?:(?:(tomorrow)|{_MONTH}[ \t]+(\d{{1,2}})|(\d{{1,2}})[ \t]+{_MONTH}|today)"
    r"(?:st|nd|rd|th)?,?(?:[ \t]+\d{4},?)?[ \t]*)?"
    r"(?:\b(?:at|by)[ \t]+)?(?:(midnight|noon)|(\d{1,2})(?::(\d\d))?(?::\d\d)?"
    r"[ \t]*(a\.?m\b\.?|p\.?m\b\.?)?)"
    r"(?:[ \t]*\(([\w/+-]+)\)|[ \t]+([A-Z]{2,4}|[A-Z][a-z]+/[A-Za-z_/]+)\b)?",
    re.IGNORECASE,
)
_ZONES = {
    "Z": "UTC",
    "PT": "America/Los_Angeles",
    "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles",
    "MT": "America/Denver",
    "CT": "America/Chicago",
    "CST": "America/Chicago",
    "CDT": "America/Chicago",
    "ET": "America/New_York",
    "EST": "America/New_York",
    "EDT": "America/New_York",
    "BST": "Europe/London",
    "CEST": "Europe/Berlin",
}


def seconds_until_reset(message: str, now: datetime) -> float | None:
    """How long to wait, where a message tells it.

    Understood are spans (`try again in 1 hour 20 minutes`, `retry after 30`, `Retry-After: 120`,
    `retry_after_ms=1500`, `"retryDelay": "34s"`), times of day (`resets 3pm (Europe/Berlin)`,
    `again at 15:30 UTC`, `resets Mar 12, 3pm`: the next such time; without a zone that of `now`),
    ISO times, the date of an HTTP header, and Unix seconds or milliseconds (`...|1700000000`,
    `x-ratelimit-reset: 1700000000`).

    Args:
        message: the error message.
        now: the present time, with its zone.
    """
    message = message[-READ_CHARACTERS:]
    readers: tuple[Callable[[str, datetime], float | None], ...] = (
        _span,
        _unix,
        _iso,
        _mail_date,
        _clock,
        _number,
        _any_span,
    )
    found = (read(message, now) for read in readers)
    return next((seconds for seconds in found if seconds is not None), None)


def _span(message: str, now: datetime) -> float | None:
    if (found := _RETRY_AMOUNTS.search(message)) is not None:
        return _total(found[2])
    found = _HINTED.search(message)
    return _total(found[1]) if found is not None else None


def _any_span(message: str, now: datetime) -> float | None:
    found = _PLAIN.search(message)
    return _total(found[1]) if found is not None else None


def _number(message: str, now: datetime) -> float | None:
    """A bare number after `retry after` is seconds, unless the name of the field says otherwise."""
    found = _RETRY_NUMBER.search(message)
    if found is None:
        return None
    return float(found[2]) * _SECONDS["ms" if (found[1] or "").lower().startswith("m") else "s"]


def _total(amounts: str) -> float:
    return sum(
        (float(count) if count[0].isdigit() else 1.0) * _SECONDS[unit.lower()]
        for count, unit in _AMOUNT.findall(amounts)
    )


def _unix(message: str, now: datetime) -> float | None:
    found = _UNIX.search(message)
    return max(0.0, float(found[1]) - now.timestamp()) if found is not None else None


def _iso(message: str, now: datetime) -> float | None:
    found = _ISO.search(message)
    if found is None:
        return None
    zone = (found[3] or "").upper()
    offset = "+00:00" if zone in ("Z", "UTC", "GMT") else zone
    try:
        due = datetime.fromisoformat(f"{found[1]}T{found[2]}{offset}")
    except ValueError:
        return None
    return _left(due if due.tzinfo else due.replace(tzinfo=now.tzinfo), now)


def _mail_date(message: str, now: datetime) -> float | None:
    found = _MAIL.search(message)
    if found is None:
        return None
    try:
        due = parsedate_to_datetime(found[1])
    except ValueError:
        return None
    return _left(due if due.tzinfo else due.replace(tzinfo=UTC), now)


def _clock(message: str, now: datetime) -> float | None:
    for found in _CLOCK.finditer(message):
        time = _time_of_day(found[6], found[7], found[8], found[9])
        zone = _zone(found[10], found[11], now)
        if time is None or zone is None:
            continue
        here = now.astimezone(zone)
        due = here.replace(hour=time[0], minute=time[1], second=0, microsecond=0)
        month, day = (found[2], found[3]) if found[2] else (found[5], found[4])
        if month:
            try:
                due = due.replace(month=_MONTHS.index(month.lower()) + 1, day=int(day))
                due = due if due > here - timedelta(days=1) else due.replace(year=due.year + 1)
            except ValueError:
                continue
        elif found[1] or due <= here:
            due += timedelta(days=1)
        return _left(due, now)
    return None


def _time_of_day(
    word: str | None, hour: str | None, minute: str | None, half: str | None
) -> tuple[int, int] | None:
    """(hour, minute) of the day; a bare number is no time."""
    if word:
        return (12 if word.lower() == "noon" else 0), 0
    assert hour is not None
    hours, minutes = int(hour), int(minute or 0)
    if half is None:
        return (hours, minutes) if minute is not None and hours <= 23 and minutes <= 59 else None
    if not 1 <= hours <= 12 or minutes > 59:
        return None
    return hours % 12 + (12 if half[0] in "pP" else 0), minutes


def _zone(quoted: str | None, bare: str | None, now: datetime) -> tzinfo | None:
    """The zone that is named; None if a name in brackets is none. Other words are passed over."""
    name = quoted or bare
    if name is None:
        return now.tzinfo
    try:
        return ZoneInfo(_ZONES.get(name.upper(), name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None if quoted else now.tzinfo


def _left(due: datetime, now: datetime) -> float:
    return max(0.0, (due - now).total_seconds())
