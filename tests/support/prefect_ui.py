"""Chromium on Prefect's own UI, as a team looks at a server."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import FLAGS, chromium_path
from tests.support.pace import patient
from tests.support.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

WIDTH = 1400


class PrefectUI:
    """The UI of a server's Prefect, 1400 px wide, logged in.

    Args:
        page: the browser's page.
        url: of the UI.
        pictures: where pictures are put; None: none are made.
    """

    def __init__(self, page: "Page", url: str, pictures: Path | None) -> None:
        self.page, self.url, self._pictures = page, url, pictures
        page.set_default_timeout(1000 * patient(60))

    def open(self, path: str, *texts: str) -> None:
        """Open a page, and wait until it shows these texts."""
        self.page.goto(self.url + path)
        self.shows(*texts)

    def tab(self, name: str, *texts: str) -> None:
        """Open a tab of the page; as a person does, load it once more if it stays without these.

        Of what has ended, Prefect's page asks once: on a busy machine it went without.
        """
        self._click(name)
        if not self._is_shown(texts[0], 1000 * patient(20)):
            self.page.reload()
            self._click(name)
        self.shows(*texts)

    def _click(self, tab: str) -> None:
        self.page.locator(".p-tab", has_text=tab).filter(visible=True).first.click()

    def _is_shown(self, text: str, timeout: float) -> bool:
        from playwright.sync_api import TimeoutError

        try:
            self._found(text).wait_for(timeout=timeout)
        except TimeoutError:
            return False
        return True

    def shows(self, *texts: str) -> None:
        """The page shows these texts, sooner or later; many are in several places."""
        from playwright.sync_api import expect

        for text in texts:
            expect(self._found(text)).to_be_visible(timeout=1000 * patient(60))

    def _found(self, text: str) -> "Locator":
        return self.page.get_by_text(text).filter(visible=True).first

    def picture(self, name: str, height: int = 1000) -> None:
        """Keep what the window shows as a picture, where pictures are wanted."""
        if self._pictures is None:
            return
        self.page.set_viewport_size({"width": WIDTH, "height": height})
        # Prefect's transitions take 200 ms; a picture in their midst is pale.
        self.page.wait_for_timeout(1000)
        self._pictures.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self._pictures / f"{name}.png")


@contextmanager
def prefect_ui(server: Server, pictures: Path | None) -> Iterator[PrefectUI]:
    """A fresh browser that is logged in to the UI of a server's Prefect."""
    found = chromium_path()
    sync_api = pytest.importorskip("playwright.sync_api")
    secret = base64.b64encode(f"wildloop:{server.token}".encode()).decode()
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=list(FLAGS))
        size = {"width": WIDTH, "height": 1000}
        context = browser.new_context(viewport=size, timezone_id="UTC")
        context.add_init_script(f"localStorage.setItem('prefect-password', '{secret}')")
        yield PrefectUI(context.new_page(), f"http://127.0.0.1:{server.prefect_port}", pictures)
        browser.close()
