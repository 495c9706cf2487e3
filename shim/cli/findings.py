"""What `wildloop doctor` finds."""

from pydantic import BaseModel


class Finding(BaseModel):
    """One check. `fatal` faults make the exit code 1; the text says what to do.

    `mended`: it was a fault, and the text says what was done about it.
    """

    check: str
    ok: bool
    mended: bool = False
    fatal: bool = False
    text: str
