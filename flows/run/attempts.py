"""The attempts of a run: when another one is made, and how the files of the last are kept."""

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from wildloop.blocks.cluster.contention import is_contention
from wildloop.blocks.launchers.record import NotRegular, open_to_read
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.run import RunSpec
from wildloop.flows.text.redaction import redact

CONTENTION_DELAY_SECONDS = 30.0
TAIL_BYTES = 64 * 1024
# What stays where it is: the log goes on in one file, the rest belongs to the run as a whole.
KEPT = frozenset({"run.log", "attempts", "attempt.json"})


class Attempt(BaseModel):
    """Contents of attempt.json: 0 is the first attempt. `log_offset` is where its log begins."""

    number: int = 0
    log_offset: int = 0
    moved: bool = True


class Cause(StrEnum):
    """Why another attempt is made."""

    CONTENTION = "contention"
    FAILURE = "failure"


class Retry(BaseModel):
    """Another attempt, `delay_seconds` from now."""

    cause: Cause
    delay_seconds: float = Field(ge=0)
    message: str


def current_attempt(paths: RunPaths) -> Attempt:
    """The attempt that the run is at; completes a change of attempts that was cut short."""
    try:
        attempt = Attempt.model_validate_json(paths.attempt.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return Attempt()
    return attempt if attempt.moved else _move(paths, attempt)


def begin_next(paths: RunPaths) -> Attempt:
    """Put the files of the last attempt aside, so that the next one finds an empty folder."""
    last = current_attempt(paths)
    offset = paths.log.stat().st_size if paths.log.exists() else 0
    following = Attempt(number=last.number + 1, log_offset=offset, moved=False)
    _write(paths, following)
    return _move(paths, following)


def retry_after(
    spec: RunSpec, attempt: Attempt, paths: RunPaths, exit_code: int | None, seconds: float
) -> Retry | None:
    """Whether a failed run is tried again.

    Args:
        spec: `retries` are for any failure, `gpuwrap_config.retries` for want of a GPU that others
            use.
        attempt: the one that has failed.
        paths: the run's files; the end of the log tells of the cause.
        exit_code: None where there is none.
        seconds: how long it ran.
    """
    wrap = spec.gpuwrap_config
    wanted = wrap.retries or 0 if wrap is not None and wrap.enabled is not False else 0
    is_endless = wanted < 0
    if wrap is not None and (is_endless or attempt.number < wanted) and spec.gpus > 0:
        why = is_contention(log_tail(paths.log, attempt.log_offset), exit_code, seconds)
        if why is not None:
            delay = wrap.retry_delay_seconds
            bound = "" if is_endless else f" of {wanted + 1}"
            return Retry(
                cause=Cause.CONTENTION,
                delay_seconds=CONTENTION_DELAY_SECONDS if delay is None else delay,
                message=f"{why}: attempt {attempt.number + 2}{bound} follows",
            )
    if attempt.number < spec.retries:
        return Retry(
            cause=Cause.FAILURE,
            delay_seconds=spec.retry_delay_seconds,
            message=f"failed: attempt {attempt.number + 2} of {spec.retries + 1} follows",
        )
    return None


def log_tail(log: Path, since: int = 0, size: int = TAIL_BYTES) -> str:
    """The end of a log, from byte `since` on, at most `size` bytes of it, without secrets."""
    try:
        with open_to_read(log) as file:
            file.seek(max(since, file.seek(0, 2) - size))
            return redact(file.read(size).decode("utf-8", "replace"))
    except (FileNotFoundError, NotRegular):
        return ""


def _move(paths: RunPaths, attempt: Attempt) -> Attempt:
    aside = paths.root / "attempts" / str(attempt.number - 1)
    aside.mkdir(parents=True, exist_ok=True)
    for path in paths.root.iterdir():
        if path.name not in KEPT:
            path.replace(aside / path.name)
    done = attempt.model_copy(update={"moved": True})
    _write(paths, done)
    return done


def _write(paths: RunPaths, attempt: Attempt) -> None:
    temporary = paths.attempt.with_suffix(".tmp")
    temporary.write_text(attempt.model_dump_json() + "\n", encoding="utf-8")
    temporary.replace(paths.attempt)
