"""What a command that has ended tells of its model's API, on stdout and stderr.

An agent also speaks of what its runs have met, so only what reads as its own error counts: in a
reply without tags, outside quotations, as all that it says or as its last word.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from wildloop.blocks.agents.base import REPLY_TAGS
from wildloop.blocks.agents.escapes import without_escapes
from wildloop.blocks.agents.resets import seconds_until_reset
from wildloop.blocks.agents.troubles import Trouble, classify

READ_CHARACTERS = 20_000
LINE_CHARACTERS = 2_000
MESSAGE_CHARACTERS = 500
# A reply that is nothing but an error is short; the last lines of stderr say why it failed.
REPLY_LINES = 6
PARAGRAPH_LINES = 3
ERROR_LINES = 5
NEAR_CHARACTERS = 60

_ANSWER = re.compile(rf"</?(?:{'|'.join(REPLY_TAGS)})\b", re.IGNORECASE)
_FENCE = re.compile(r"[ \t>]*(?:```|~~~)")
# Quoted, listed, numbered, or a tool's output in a frame.
_QUOTED = re.compile(r"\s*(?:[>|│┃$#]|[-*+•] |(?!429)\d{1,4}[:.|)] |`|\t| {4})")
_FRAME = re.compile(r"\s+at |\s+File \"|\s*[\^~]+\s*$|\s*Node\.js v\d|\s{4}")
_EXCEPTION = re.compile(r"[\w.]*(?:Error|Exception|Exit|Interrupt)(?::|$)")
_PREFIX = re.compile(r"\s*(?:[\[(]?\d{4}-\d\d-\d\d[T ][\d:.,+Z]*|[^\w\s]|\s)*")
_LEVEL = re.compile(
    r"(?:[\w./@-]{1,40}[:\]]\s*){0,2}"
    r"(?:\[?(?:api |unexpected |stream |http )?(?:error|err|fatal|critical)\b[\]!]?|[\w.]*Error\b)"
    r"[\s:\-(\[{\"']*",
    re.IGNORECASE,
)
_OWN_LIMIT = re.compile(
    r"you(?:['\u2019]ve| have)? (?:hit|reached|exceeded|exhausted|used up) (?:your|the)\b"
    r".{0,40}\b(?:limit|quota|capacity)\b"
    r"|(?:\w+ ){0,3}usage limit (?:reached|exceeded)",
    re.IGNORECASE,
)
_BARE_LIMIT = re.compile(
    r"(?:http[ /]?(?:\d\.\d )?|status(?: code)?:? |request failed with status code )?429\b"
    r"|rate.?limit|too many requests|usage limit",
    re.IGNORECASE,
)
_OF_RUNS = re.compile(
    r"\b(?:runs?|run\.log|experiments?|jobs?|sweeps?|trials?|datasets?|downloads?|training|logs?)\b",
    re.IGNORECASE,
)


class PrintedTrouble(BaseModel):
    """A limit or an absent network, as the command has told it."""

    model_config = ConfigDict(frozen=True)

    trouble: Trouble
    message: str
    pause_seconds: float | None = None
    said_before: str = Field(description="What of the reply is not the trouble itself.")


def printed_trouble(
    reply: str, errors: str, exit_code: int | None, ended_at: float
) -> PrintedTrouble | None:
    """What has kept a command from answering, where it is worth another call; else None.

    Args:
        reply: what it printed on stdout.
        errors: what it printed on stderr.
        exit_code: None for a command that was ended at its time-out.
        ended_at: when it has ended, Unix seconds; times that it tells are counted from there.
    """
    reply, errors = (without_escapes(text)[-READ_CHARACTERS:] for text in (reply, errors))
    if _ANSWER.search(reply):
        return None
    told: list[tuple[Trouble, str]] = []
    if exit_code is None:
        told += [] if reply.strip() else _of_errors(errors, 1)
    else:
        if exit_code != 0 or not reply.strip():
            told += _of_errors(errors, ERROR_LINES)
        of_reply, reply = _of_reply(reply, has_failed=exit_code != 0)
        told += of_reply
    if not told:
        return None
    now = datetime.fromtimestamp(ended_at).astimezone()
    pauses = (seconds_until_reset(said, now) for _, said in told)
    trouble, message = told[0]
    return PrintedTrouble(
        trouble=trouble,
        message=" / ".join(line.strip() for line in message.split("\n"))[:MESSAGE_CHARACTERS],
        pause_seconds=next((pause for pause in pauses if pause is not None), None),
        said_before=reply if reply.strip() else "",
    )


def _of_errors(errors: str, count: int) -> list[tuple[Trouble, str]]:
    """The last lines of stderr, where one of them tells of trouble; it and what follows."""
    lines = [line for line in _lines(errors) if not _FRAME.match(line)][-count:]
    for number in range(len(lines) - 1, -1, -1):
        line = lines[number]
        if _QUOTED.match(line):
            continue
        if (trouble := classify(line)) is not Trouble.OTHER:
            return [(trouble, "\n".join(lines[number:]))]
        if _EXCEPTION.match(line):
            # The last word of a traceback: what came before was handled, or is another matter.
            break
    return []


def _of_reply(reply: str, has_failed: bool) -> tuple[list[tuple[Trouble, str]], str]:
    """The agent's own error that the reply is, or ends in, and the reply without it."""
    lines = _lines(reply)
    if 0 < len(lines) <= REPLY_LINES and (trouble := _own_trouble(lines)) is not None:
        return [(trouble, "\n".join(lines))], ""
    before, last = _last_paragraph(reply)
    if not 0 < len(last) <= PARAGRAPH_LINES or not (has_failed or _tells_own_limit(last[0])):
        return [], reply
    trouble = _own_trouble(last)
    return ([(trouble, "\n".join(last))], before) if trouble is not None else ([], reply)


def _own_trouble(lines: Sequence[str]) -> Trouble | None:
    """What the lines tell of the agent's own API; None if nothing, or if they tell of runs."""
    first, said = lines[0], "\n".join(lines)
    if _QUOTED.match(first) or classify(said) is Trouble.OTHER:
        return None
    if _tells_own_limit(first):
        return Trouble.RATE_LIMIT
    if _OF_RUNS.search(said):
        return None
    beginning, is_error = _beginning(first)
    if not is_error:
        return Trouble.RATE_LIMIT if _BARE_LIMIT.match(first[beginning:]) else None
    found = classify(first[: beginning + NEAR_CHARACTERS])
    return found if found is not Trouble.OTHER else None


def _beginning(line: str) -> tuple[int, bool]:
    """Where a line's own words begin, after time and level; whether it says that it is an error."""
    prefix = _PREFIX.match(line)
    start = prefix.end() if prefix else 0
    level = _LEVEL.match(line, start)
    return (level.end(), True) if level else (start, False)


def _tells_own_limit(line: str) -> bool:
    return _OWN_LIMIT.match(line, _beginning(line)[0]) is not None


def _last_paragraph(text: str) -> tuple[str, list[str]]:
    """What comes before the last blank line, and the lines after it.

    None of a code block, and none that a colon announces.
    """
    lines = text.rstrip().split("\n")
    is_quoting = sum(1 for line in lines if _FENCE.match(line)) % 2 == 1
    start = max((number for number, line in enumerate(lines) if not line.strip()), default=-1)
    before = "\n".join(lines[: max(0, start)]).rstrip()
    if is_quoting or before.endswith(":") or any(map(_FENCE.match, lines[start + 1 :])):
        return text, []
    return before, _lines("\n".join(lines[start + 1 :]))


def _lines(text: str) -> list[str]:
    return list(_shown(text))


def _shown(text: str) -> Iterator[str]:
    for raw in text.split("\n"):
        # What a carriage return has overwritten was never to be seen.
        line = raw.rstrip("\r").rsplit("\r", 1)[-1][:LINE_CHARACTERS].rstrip()
        if line.strip():
            yield line
