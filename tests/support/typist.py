"""Types commands as a user does, from one process that has loaded `wildloop` once.

Run as a script it takes orders on standard input and forks for each: a start of Python for every
command would cost more than the commands.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Typed:
    """What a command has said, and its exit code."""

    code: int
    out: str
    err: str


class Typist:
    """A terminal in which one command is typed after the other."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def type(self, words: Sequence[str], folder: Path, answers: str = "") -> Typed:
        """Run `wildloop` with these words in a folder; `answers` are what is typed when asked."""
        assert self._process.stdin is not None and self._process.stdout is not None
        order = {"words": list(words), "folder": str(folder), "answers": answers}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Typed(**json.loads(self._process.stdout.readline()))


@contextmanager
def typist(environment: dict[str, str]) -> Iterator[Typist]:
    """A typist with this environment."""
    process = subprocess.Popen(
        [sys.executable, "-P", __file__],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Typist(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def _child(words: list[str], folder: str, out: int, err: int, answers: int) -> None:
    from wildloop.shim.cli.main import main

    os.chdir(folder)
    for descriptor, place in ((answers, 0), (out, 1), (err, 2)):
        os.dup2(descriptor, place)
    sys.stdin, sys.argv = os.fdopen(0, "r"), ["wildloop", *words]
    code: object = 0
    try:
        main()
    except SystemExit as error:
        code = error.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _main() -> None:
    from wildloop.shim.cli.main import application

    # All modules are loaded once, for all that are forked.
    application()

    for line in sys.stdin:
        order = json.loads(line)
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            tempfile.TemporaryFile() as answers,
        ):
            answers.write(order["answers"].encode())
            answers.seek(0)
            pid = os.fork()
            if pid == 0:
                streams = (out.fileno(), err.fileno(), answers.fileno())
                _child(order["words"], order["folder"], *streams)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        told = {"code": code, "out": texts[0], "err": texts[1]}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
