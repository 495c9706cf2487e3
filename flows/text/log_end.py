"""The useful end of a log: its last error, not its progress bars."""

import re

LINES = 12
CHARACTERS = 900
LINE_LENGTH = 2000
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07)")
_BAR = re.compile(
    r"\d+%\s*\|.*\||\b\d[\d.]*\s*(?:it|s|batch|step|file|sample|ex|tok)\w*/(?:it|s)\b|\bETA\b|[█▏▎▍▌▋▊▉]"
)
_TRACEBACK = "Traceback (most recent call last)"
_ERROR = re.compile(
    r"\b(?:\w*Error|\w*Exception|error|fatal|failed|failure|killed|abort(?:ed)?|panic|"
    r"segmentation fault|core dumped|out of memory|cannot|can't|not found|no such file|denied)\b",
    re.IGNORECASE,
)
_VARYING = re.compile(r"0x[0-9a-f]+|\d+")


def log_end(text: str, lines: int = LINES, characters: int = CHARACTERS) -> str:
    """The last traceback, else the last lines around the last error, else the last lines.

    Progress bars, terminal escapes and lines said again and again are left out.

    Args:
        text: the end of a log.
        lines: at most so many lines.
        characters: at most so many characters; of longer ones the end.
    """
    told = _told(text)
    for number in range(len(told) - 1, -1, -1):
        if told[number].lstrip().startswith(_TRACEBACK):
            return _cut(_traceback(told[number:], lines), characters)
    errors = [number for number, line in enumerate(told) if _ERROR.search(line)]
    if errors and len(told) - errors[-1] > lines:
        last = errors[-1]
        told = told[max(0, last - lines // 2) : last + lines // 2]
    return _cut(told[-lines:], characters)


def error_line(text: str) -> str:
    """The one line that says best why it failed; empty for a log that says nothing."""
    told = _told(text)
    named = [line for line in told if _ERROR.search(line) and not line.startswith((" ", "\t"))]
    return (named or told or [""])[-1].strip()[:300]


def likeness(line: str) -> str:
    """An error without what differs between two sightings of it."""
    return _VARYING.sub("#", " ".join(line.lower().split()))


def _told(text: str) -> list[str]:
    """The lines that say something, each run of alike ones once."""
    told: list[str] = []
    last = ""
    for raw in text.split("\n"):
        # What a carriage return has overwritten was never to be seen.
        line = _ESCAPE.sub("", raw.rstrip("\r").rsplit("\r", 1)[-1][:LINE_LENGTH]).rstrip()
        alike = likeness(line)
        if not line.strip() or _BAR.search(line) or (alike == last and not line.startswith(" ")):
            continue
        last = alike
        told.append(line)
    return told


def _traceback(told: list[str], lines: int) -> list[str]:
    """Its first line, its last frames, and what the exception says."""
    end = next(
        (number for number, line in enumerate(told[1:], 1) if not line.startswith((" ", "\t"))),
        len(told) - 1,
    )
    shown = told[: end + 1 + lines // 3]
    if len(shown) <= lines:
        return shown
    return [shown[0], "  ...", *shown[-(lines - 2) :]]


def _cut(lines: list[str], characters: int) -> str:
    text = "\n".join(lines)
    return text if len(text) <= characters else "..." + text[-characters:]


SHOWN = 200


def last_line(log_tail: str) -> str:
    """The last line with text, printable, at most 200 characters."""
    lines = [line.strip() for line in log_tail.split("\n") if line.strip()]
    return "".join(char for char in lines[-1] if char.isprintable())[:SHOWN] if lines else ""
