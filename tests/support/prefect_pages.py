"""Pictures of pages of the Prefect UI, by a headless Chromium that is signed in."""

import base64
import itertools
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.support.pace import patient
from tests.support.waiting import wait_for
from wildloop.shim.net import free_ports

WIDTH, HEIGHT = 1400, 1000
TEXT = "document.body.innerText"


class Browser:
    """One tab."""

    def __init__(self, socket: ClientConnection, origin: str) -> None:
        self._socket, self._origin, self._numbers = socket, origin, itertools.count(1)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the DevTools protocol; its answer."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(patient(60)))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def text(self) -> str:
        """What can be read on the page."""
        found = self.ask("Runtime.evaluate", expression=TEXT, returnByValue=True)["result"]
        return str(found.get("value", ""))

    def picture(self, path: str, file: Path, *words: str, click: str = "") -> str:
        """Take a picture of a page once these words are on it; return what can be read there.

        Args:
            path: of the page.
            file: where the picture goes.
            words: wait for them.
            click: the text of a tab to open first.
        """
        self.ask("Page.navigate", url=self._origin + path)
        if click:
            wait_for(lambda: self._click(click), f"'{click}' can be clicked on {path}", 60)
        wait_for(lambda: self._shows(*words), f"{path} shows {words}", 60, sign=self.text)
        shot = self.ask("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(shot["data"]))
        return self.text()

    def _shows(self, *words: str) -> bool:
        text = self.text()
        return all(word in text for word in words)

    def _click(self, text: str) -> bool:
        script = (
            "(() => { const found = [...document.querySelectorAll('a,button,[role=tab],li')]"
            f".filter(one => one.innerText.trim() === {json.dumps(text)});"
            "if (found.length) found.at(-1).click(); return found.length > 0 })()"
        )
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        return bool(answer["result"].get("value"))


@contextmanager
def browser(folder: Path, origin: str, user: str) -> Iterator[Browser]:
    """A Chromium on the Prefect UI at `origin`, signed in as `user` (name:password)."""
    (port,) = free_ports(1)
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu"]
    command += [f"--remote-debugging-port={port}", f"--user-data-dir={folder / 'chromium'}"]
    command += [f"--window-size={WIDTH},{HEIGHT}", "about:blank"]
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        tab = wait_for(lambda: _tab(port), "Chromium answers", 60)
        with connect(tab, max_size=None) as socket:
            page = Browser(socket, origin)
            page.ask("Page.enable")
            page.ask(
                "Emulation.setDeviceMetricsOverride",
                width=WIDTH,
                height=HEIGHT,
                deviceScaleFactor=1,
                mobile=False,
            )
            word = base64.b64encode(user.encode()).decode()
            script = f"localStorage.setItem('prefect-password', '{word}')"
            page.ask("Page.addScriptToEvaluateOnNewDocument", source=script)
            yield page
    finally:
        process.terminate()
        process.wait(patient(30))


def _tab(port: int) -> str | None:
    try:
        tabs = httpx.get(f"http://127.0.0.1:{port}/json").json()
    except httpx.TransportError:
        return None
    found = [tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"]
    return str(found[0]) if found else None
