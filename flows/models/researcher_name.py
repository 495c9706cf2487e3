"""What a researcher of a session is called, where a session is named: `<session>:r2`.

Every door takes this name for the session itself. What is made by it is marked with the number of
the researcher, and runs the code of that researcher's worktree.
"""

import re

_NAME = re.compile(r"(?P<session>.+):r(?P<number>[1-9]\d?)", re.DOTALL)


def called(session_id: str, number: int | None) -> str:
    """The name of a researcher; of a session that has only one, the session's id."""
    return session_id if number is None else f"{session_id}:r{number}"


def session_in(name: str) -> str:
    """The session that a name means, whoever of its researchers it names."""
    found = _NAME.fullmatch(name)
    return found["session"] if found else name


def researcher_in(name: str | None) -> int | None:
    """The number of the researcher in a name; None where it names none."""
    found = _NAME.fullmatch(name) if name is not None else None
    return int(found["number"]) if found else None
