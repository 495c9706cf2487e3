"""`wildloop open`: the page in a browser, without giving the token to it."""

import os
import webbrowser
from html import escape
from pathlib import Path
from typing import Annotated

import typer

from wildloop.flows.settings import wildloop_home
from wildloop.shim.cli.server import server

FILE = "open.html"
PAGE = """<!DOCTYPE html>
<meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>Wildloop</title>
<meta http-equiv="refresh" content="0;url={url}"><a href="{url}">Wildloop</a>
"""


def open_page(
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the link, open no browser.")
    ] = False,
) -> None:
    """Open the page in a browser, logged in by a link that is good once, for two minutes."""
    client = server()
    made = client.request("POST", "/wild/v2/page-link")
    url = f"{client.url}{made['path']}"
    typer.echo(f"{url}\n(good once, for {made['seconds']} s)")
    if only_print or not _can_show():
        return
    # The link itself would stand in the list of processes, for all users of this machine.
    webbrowser.open(_way(url).as_uri())


def _way(url: str) -> Path:
    """A file of the user's alone that leads to the link."""
    path = wildloop_home() / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(PAGE.format(url=escape(url)))
    return path


def _can_show() -> bool:
    """Whether there is a browser with a window: one in the terminal runs no script."""
    if os.uname().sysname != "Darwin" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True
