"""Names of sessions and of what they keep, as Prefect's pages list them."""

import re
from datetime import datetime

from prefect.runtime import flow_run

PLAN, LEADERBOARD, LEDGER, REPORT = "plan", "leaderboard", "ledger", "report"
READABLE = (PLAN, LEADERBOARD, LEDGER, REPORT)
"""What a session keeps that a person looks for by name."""
NAME_LENGTH = 80
SLUG_LENGTH = 40
SHORT_ID = 8
_MADE_UP = re.compile(r"[a-z]+-[a-z]+")


def name_of(goal: str) -> str:
    """The goal as a name: one line of at most 80 characters."""
    return " ".join(goal.split())[:NAME_LENGTH]


def dated_name(goal: str) -> str:
    """The name of a session that begins today: nightly ones of one goal are told apart by it."""
    return f"{name_of(goal)}, {datetime.now().astimezone():%Y-%m-%d}"


def readable_key(kind: str, goal: str, session_id: str) -> str:
    """The key of something that a session keeps: `plan-lower-the-loss-4f1c09aa`.

    Args:
        kind: what it is, in lower-case letters.
        goal: of the session; a goal without Latin letters and digits gives none of its words.
        session_id: its id, of which the first eight characters tell apart those of one goal.
    """
    words = re.findall(r"[a-z0-9]+", goal.lower())
    slug = ""
    for word in words:
        if len(slug) + len(word) >= SLUG_LENGTH:
            break
        slug += f"-{word}"
    return f"{kind}{slug}-{session_id[:SHORT_ID]}"


def own_name() -> str:
    """The name of the session whose flow run begins, however it was started.

    One that Prefect has made up (`naughty-firefly`), as for a schedule or `prefect deployment run`,
    gives way to goal and date; any other stays.
    """
    given, goal = str(flow_run.name or ""), flow_run.parameters.get("goal")
    if not isinstance(goal, str) or not name_of(goal) or not _MADE_UP.fullmatch(given):
        return given
    return dated_name(goal)
