"""What `wildloop doctor` finds."""

from pydantic import BaseModel


class Finding(BaseModel):
    """One check. `fatal` faults make the exit code 1; the text says what to do."""

    check: str
    ok: bool
    fatal: bool = False
    text: str
