"""The one place where a command's error becomes a line: no traceback comes to a terminal."""

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import typer

from wildloop.flows.errors import InvalidRequest, WildloopError
from wildloop.flows.settings import wildloop_home
from wildloop.flows.text.redaction import redact
from wildloop.shim.home import explained

REFUSED = 1
INTERNAL = 70
INTERRUPTED = 130
MOST_SAID = 300


def guarded_command(command: Callable[[], object]) -> None:
    """Run a command; its error is one line on stderr, and the exit code of its kind.

    1: refused, with the mend. 70: a fault of ours, whose full text lies in a log. 130: Ctrl-C.
    """
    try:
        check_folder()
        command()
    except WildloopError as error:
        _leave(str(error), REFUSED)
    except BrokenPipeError:
        # Whoever read us has enough, as `head` does; nothing more may be written at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(REFUSED)
    except OSError as error:
        _leave(f"{explained(error)}; {_note(error)}", REFUSED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is written down and told.
        said = " ".join(str(error).split())[:MOST_SAID]
        _leave(f"internal error ({type(error).__name__}: {said}); {_note(error)}", INTERNAL)


def check_folder() -> None:
    """See that the folder of the call is still there.

    Raises:
        InvalidRequest: it is not.
    """
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise InvalidRequest("the folder you are in has been removed: go to another") from error


def _leave(text: str, code: int) -> NoReturn:
    typer.echo(f"wildloop: {redact(text)}", err=True)
    sys.exit(code)


def _note(error: BaseException) -> str:
    """Write the whole error down, and say where: in the home if that can be written."""
    text = redact("".join(traceback.format_exception(error)))
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    text = f"{stamp} wildloop {' '.join(sys.argv[1:2])}\n{text}\n"
    for append in (_to_home, _to_temporary):
        try:
            return f"the full text is in {append(text)}"
        except OSError:
            continue
    return "the full text could not be written anywhere"


def _to_home(text: str) -> Path:
    path = wildloop_home() / "logs" / "cli.log"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
    return path


def _to_temporary(text: str) -> Path:
    # A name of its own: in a folder that all users share, another may have laid out a known one.
    descriptor, name = tempfile.mkstemp(prefix="wildloop-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)
