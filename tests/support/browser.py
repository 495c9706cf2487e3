"""Chromium on the page of a server: a mouse or a keyboard, and what it complains of."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.debian import apt_install
from tests.support.pace import patient
from tests.support.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

# Nothing is asked of other hosts, and nothing needs a screen or a user other than root.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MOST_TABS = 150
# Whoever leaves a page ends its streams and what it was loading.
LEFT = "net::ERR_ABORTED"


class Watched:
    """A page of the browser, and what went wrong on it."""

    def __init__(self, page: "Page", server: Server, by_keyboard: bool) -> None:
        self.page, self.server, self.by_keyboard = page, server, by_keyboard
        self.complaints: list[str] = []
        page.set_default_timeout(1000 * patient(60))
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: dialog.accept())

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def log_in(self) -> None:
        """By a one-time link."""
        path = self.server.post("/wild/v2/page-link")["path"]
        self.page.goto(self.server.url + path)
        self.page.wait_for_url("**/page/")

    def go(self, path: str) -> None:
        """Open one of the pages."""
        self.page.goto(self.server.url + path)

    def press(self, found: "Locator") -> None:
        """Use a button, a link or a box: by a click, or by Tab and Enter or Space."""
        if not self.by_keyboard:
            found.click()
            return
        self.tab_to(found)
        is_box = found.get_attribute("type") == "checkbox"
        self.page.keyboard.press("Space" if is_box else "Enter")

    def write(self, found: "Locator", text: str) -> None:
        """Write into a field."""
        if self.by_keyboard:
            self.tab_to(found)
        else:
            found.click()
        self.page.keyboard.type(text)

    def tab_to(self, found: "Locator") -> None:
        """Tab until it has the focus."""
        found.wait_for()
        for _ in range(MOST_TABS):
            if found.evaluate("one => one === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"no way by Tab to {found}")

    def check(self) -> None:
        """It fits, nothing complains, and axe finds nothing serious."""
        from axe_playwright_python.sync_playwright import Axe

        width = self.page.evaluate("document.documentElement.scrollWidth")
        assert width <= (self.page.viewport_size or {"width": 0})["width"], self.page.url
        said = Axe().run(self.page).response["violations"]
        serious = [
            (one["id"], one["nodes"][0]["html"][:300], one["nodes"][0].get("failureSummary"))
            for one in said
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], (self.page.url, serious)
        assert self.complaints == [], (self.page.url, self.complaints)
        assert self.page.evaluate("window.__evil") is None


def chromium_path() -> str | None:
    """Where the browser is; the test is skipped where it cannot be had."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        missing = apt_install("chromium")
        if missing is not None:
            pytest.skip(f"Chromium cannot be had: {missing}")
        found = shutil.which("chromium")
    return found


@contextmanager
def chromium(
    server: Server, width: int, *, by_keyboard: bool = False, scheme: str = "light"
) -> Iterator[Watched]:
    """A fresh browser that is logged in to a server's page."""
    found = chromium_path()
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=list(FLAGS))
        size = {"width": width, "height": 844 if width < 500 else 900}
        context = browser.new_context(viewport=size, color_scheme=scheme)
        watched = Watched(context.new_page(), server, by_keyboard)
        watched.log_in()
        yield watched
        browser.close()
