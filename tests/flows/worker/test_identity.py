"""Whether a worker that has signed a flow run is still there."""

import os
import socket
import subprocess
import sys

import pytest

from wildloop.flows.worker.identity import WorkerIdentity, worker_identity


def test_own_identity_survives_text_and_is_alive() -> None:
    me = worker_identity()
    assert WorkerIdentity.parse(str(me)) == me
    assert me.pid == os.getpid()
    assert me.is_dead() is False


def test_process_that_has_ended_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mine = worker_identity()
    ended = mine.model_copy(update={"pid": process.pid})
    assert ended.is_dead() is True, "the number is in use, but not by the one that signed"
    process.communicate(b"\n")
    assert ended.is_dead() is True


def test_worker_of_another_host_is_neither_dead_nor_alive() -> None:
    elsewhere = worker_identity().model_copy(update={"host": socket.gethostname() + "-other"})
    assert elsewhere.is_dead() is None


@pytest.mark.parametrize("text", [None, "", "1234", "host:abc:1", "host:1"])
def test_other_marks_are_no_identity(text: str | None) -> None:
    assert WorkerIdentity.parse(text) is None
