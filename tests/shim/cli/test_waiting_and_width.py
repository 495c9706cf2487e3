"""What a command says while it waits, and how it prints where there is little room."""

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.pace import patient
from tests.support.server import command_environment
from wildloop.blocks.interpreter import own_command
from wildloop.shim.cli.table import print_table

COLUMNS = ("id", "", "memory")
ROWS = [("1", "off", "[lesson] small steps"), ("2", "", "x")]


class Slow(ThreadingHTTPServer):
    """A server that answers every request with `[]`, once it may."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.may_answer = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Slow

    def do_GET(self) -> None:
        self.server.may_answer.wait(60)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def slow() -> Iterator[Slow]:
    server = Slow()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.may_answer.set()
    server.shutdown()
    thread.join()
    server.server_close()


def sessions(home: Path, server: Slow, **extra: str) -> "subprocess.Popen[str]":
    env = command_environment(home) | extra
    env["WILDLOOP_SERVER_URL"] = f"http://127.0.0.1:{server.server_port}"
    return subprocess.Popen(
        own_command("wildloop", "sessions", "--json"),
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_command_that_waits_says_for_whom(slow: Slow, tmp_path: Path) -> None:
    command = sessions(tmp_path, slow)
    assert command.stderr is not None
    said = command.stderr.readline()
    assert said == f"waiting for the server at http://127.0.0.1:{slow.server_port} ...\n"
    slow.may_answer.set()
    output, more = command.communicate(timeout=patient(30))
    assert (json.loads(output), more, command.returncode) == ([], "", 0)


def test_a_command_that_is_answered_at_once_says_nothing(slow: Slow, tmp_path: Path) -> None:
    slow.may_answer.set()
    assert sessions(tmp_path, slow).communicate(timeout=patient(60)) == ("[]\n", "")


@pytest.mark.parametrize("columns", ["20", "39"])
def test_a_narrow_table_is_plain_lines(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    print_table(COLUMNS, ROWS)
    assert capsys.readouterr().out == (
        "id: 1\noff\nmemory: [lesson] small steps\n\nid: 2\nmemory: x\n\n"
    )


def test_a_wide_table_keeps_what_looks_like_a_style(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_table(COLUMNS, ROWS)
    assert "[lesson] small steps" in capsys.readouterr().out


def test_no_columns_are_as_if_none_were_told(slow: Slow, tmp_path: Path) -> None:
    slow.may_answer.set()
    env = command_environment(tmp_path) | {"COLUMNS": "0"}
    env["WILDLOOP_SERVER_URL"] = f"http://127.0.0.1:{slow.server_port}"
    done = subprocess.run(
        own_command("wildloop", "runs"),
        env=env,
        capture_output=True,
        text=True,
        timeout=patient(60),
    )
    assert "seconds" in done.stdout
