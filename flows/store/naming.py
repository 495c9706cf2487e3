"""Names of sessions, as Prefect's pages list them."""

import re
from datetime import datetime

from prefect.runtime import flow_run

NAME_LENGTH = 80
_MADE_UP = re.compile(r"[a-z]+-[a-z]+")


def name_of(goal: str) -> str:
    """The goal as a name: one line of at most 80 characters."""
    return " ".join(goal.split())[:NAME_LENGTH]


def own_name() -> str:
    """The name of the session whose flow run begins, however it was started.

    One that Prefect has made up (`naughty-firefly`), as for a schedule or `prefect deployment run`,
    gives way to goal and date; any other stays.
    """
    given, goal = str(flow_run.name or ""), flow_run.parameters.get("goal")
    if not isinstance(goal, str) or not name_of(goal) or not _MADE_UP.fullmatch(given):
        return given
    return f"{name_of(goal)}, {datetime.now().astimezone():%Y-%m-%d}"
