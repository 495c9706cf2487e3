"""What a running `wildloop up` leaves for the commands beside it."""

import os
from pathlib import Path

from pydantic import BaseModel

from wildloop.flows.settings import wildloop_home


class UpNote(BaseModel):
    """Where a running `up` is to be found."""

    pid: int
    server_url: str
    prefect_api_url: str
    prefect_ui_url: str

    def write(self, home: Path) -> None:
        """Leave it in this home, for its user alone."""
        path = note_path(home)
        path.touch(mode=0o600)
        path.write_text(self.model_dump_json(), encoding="utf-8")


def read_up_note(home: Path | None = None) -> UpNote | None:
    """The note of the `up` that runs on `home` (default: WILDLOOP_HOME); None if none does."""
    try:
        text = note_path(home or wildloop_home()).read_text(encoding="utf-8")
        note = UpNote.model_validate_json(text)
        os.kill(note.pid, 0)
        return note
    except (OSError, ValueError):
        return None


def note_path(home: Path) -> Path:
    """The file of the note."""
    return home / "run" / "up.json"
