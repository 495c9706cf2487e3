"""The server that the commands talk to, and a word while it lets them wait."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from wildloop.shim.client.api import ApiClient

WORD_AFTER_S = 2.0


def server() -> ApiClient:
    """A client of the server; a command that waits for it for more than 2 s says so on stderr."""
    return ApiClient(while_waiting=waiting_word)


@contextmanager
def waiting_word(url: str) -> Iterator[None]:
    """Say once that `url` is waited for, if what is done meanwhile takes more than 2 s."""
    timer = threading.Timer(
        WORD_AFTER_S, lambda: typer.echo(f"waiting for the server at {url} ...", err=True)
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
