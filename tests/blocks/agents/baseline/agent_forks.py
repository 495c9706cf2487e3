"""Calls the agent from one process that has loaded it once.

Run as a script it takes orders on standard input and forks for each: a start of Python, NumPy and
SciPy for every call of a session would cost more than the calls. What it means to be a process of
its own (to be killed, to start in a strange environment) is tested with real ones.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Answer(NamedTuple):
    """What a call has said, and its exit code."""

    code: int
    out: str
    err: str


class Forks:
    """The loaded agent."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def call(self, folder: Path, environment: Mapping[str, str], prompt: str) -> Answer:
        """One call in a folder, with no more than this environment."""
        assert self._process.stdin is not None and self._process.stdout is not None
        order = {"folder": str(folder), "environment": dict(environment), "prompt": prompt}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Answer(*json.loads(self._process.stdout.readline()))


@contextmanager
def loaded_agent() -> Iterator[Forks]:
    """The agent, loaded."""
    with subprocess.Popen(
        [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Forks(process)
        assert process.stdin is not None
        process.stdin.close()


def _answer(order: dict[str, str | dict[str, str]]) -> Answer:
    with (
        tempfile.TemporaryFile() as prompt,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        prompt.write(str(order["prompt"]).encode())
        prompt.seek(0)
        pid = os.fork()
        if pid == 0:
            for place, stream in enumerate((prompt, out, err)):
                os.dup2(stream.fileno(), place)
            _child(order)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    return Answer(code, *texts)


def _child(order: dict[str, str | dict[str, str]]) -> None:
    import traceback

    from wildloop.blocks.agents.baseline.agent import main

    code = 1
    try:
        assert isinstance(order["environment"], dict)
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(str(order["folder"]))
        sys.stdin = os.fdopen(0, encoding="utf-8")
        code = main([])
    except BaseException:  # noqa: BLE001 - as at the end of any process of Python.
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _main() -> None:
    # The first limits the threads of the libraries that the second brings.
    import wildloop.blocks.agents.baseline.__main__
    import wildloop.blocks.agents.baseline.policy  # noqa: F401

    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
