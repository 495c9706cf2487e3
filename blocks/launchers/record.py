"""The files that a launch leaves in its record folder."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

RECORD = "process.json"
EXIT_CODE = "exit_code"


class ProcessRecord(BaseModel):
    """process.json: written by the wrapper itself, before the command starts.

    `start` is the wrapper's start mark (see `blocks.launchers.processes`), `boot` the machine's
    boot id, `marker` the value of WILDLOOP_LAUNCH_ID in every process of the launch.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    start: float
    boot: str
    host: str
    marker: str
    started_at: float


def read_record(folder: Path) -> ProcessRecord | None:
    """The record of the launch in `folder`; None where nothing was launched.

    Raises:
        ValueError: the record is there but damaged.
    """
    path = folder / RECORD
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return ProcessRecord.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(f"process record '{path}' is damaged") from error


def read_exit_code(folder: Path) -> tuple[int, float] | None:
    """Exit code and time of the end; None while there is none, or it was lost in a power cut."""
    path = folder / EXIT_CODE
    try:
        return int(path.read_text(encoding="ascii")), path.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
