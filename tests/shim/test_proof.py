"""A server proves that it is the one that was started."""

import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette

from tests.support.pace import patient
from wildloop.blocks.proof import answer, new_key, own_key, prefect_key, proves
from wildloop.shim.net import free_ports
from wildloop.shim.proof import proving

KEY = new_key()


@pytest.fixture
def served() -> Iterator[int]:
    """The port of a server that holds the key."""
    (port,) = free_ports(1)
    config = uvicorn.Config(proving(Starlette(), KEY, port), port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + patient(30)
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield port
    server.should_exit = True
    thread.join()


def test_only_a_holder_of_the_key_proves_itself(served: int) -> None:
    assert proves(f"http://127.0.0.1:{served}/api", KEY)
    assert not proves(f"http://127.0.0.1:{served}", new_key())


def test_who_does_not_answer_proves_nothing() -> None:
    assert not proves(f"http://127.0.0.1:{free_ports(1)[0]}", KEY)


def test_an_answer_for_one_port_is_none_for_another() -> None:
    assert answer(KEY, 1, "challenge") != answer(KEY, 2, "challenge")


def test_the_key_is_that_of_the_up_that_started_us(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_key() is None
    monkeypatch.setenv("WILDLOOP_SUPERVISOR_KEY", KEY)
    assert own_key() == KEY
    assert prefect_key() is None
    monkeypatch.setenv("WILDLOOP_SUPERVISOR_PREFECT", "1")
    assert prefect_key() == KEY
