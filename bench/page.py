"""The page: `python -m bench.page`, on an idle machine.

A fresh home is filled with 5,000 ended runs, and `wildloop up` started anew on it: how long the
first view of the page and of the runs takes in Chromium and how much is sent for it, and what open
pages cost while nothing happens. Prints Markdown.
"""

import argparse
import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Sequence
from typing import Any

import httpx
from playwright.sync_api import sync_playwright

from bench import history
from bench.engine import interrupt
from bench.processes import MachineWatch
from bench.report import table_head, table_row
from bench.subjects import WildloopSubject
from wildloop.flows.store.base import CLOCK_SLACK

SEED_SECONDS = 1800.0
SLOTS = 2
VIEWS = ("/page/", "/page/runs", "/page/runs?sort=name&order=up", "/page/compute")
TIMES = 5
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
# What a first visitor gets: sizes as they come over the wire, and when the page could be read.
TOLD = """() => {
  const own = performance.getEntriesByType("navigation")[0]
  const all = [own, ...performance.getEntriesByType("resource")]
  const paint = performance.getEntriesByName("first-contentful-paint")[0]
  return {
    answered: own.responseEnd, painted: paint ? paint.startTime : own.domContentLoadedEventEnd,
    bytes: all.reduce((sum, one) => sum + one.transferSize, 0),
  }
}"""


def first_views(url: str) -> list[str]:
    """A line for each page: a fresh browser's cache each time."""
    rows = []
    with sync_playwright() as play:
        chromium = shutil.which("chromium")
        browser = play.chromium.launch(executable_path=chromium, args=list(FLAGS))
        for path in VIEWS:
            told = [_first_view(browser, url + path) for _ in range(TIMES)]
            told.sort(key=lambda one: float(one["painted"]))
            middle = told[len(told) // 2]
            cells = [middle["answered"], middle["painted"], told[-1]["painted"]]
            shown = [f"{cell:.0f}" for cell in cells]
            rows.append(table_row([f"`{path}`", *shown, f"{middle['bytes'] / 1000:.0f}"]))
        browser.close()
    return rows


def _first_view(browser: Any, url: str) -> dict[str, float]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(url, wait_until="load")
    told: dict[str, float] = page.evaluate(TOLD)
    context.close()
    return told


async def _open_pages(url: str, count: int, seconds: float) -> None:
    """Keep the events of so many pages open for so long."""
    limits = httpx.Limits(max_connections=count + 1)
    async with httpx.AsyncClient(base_url=url, timeout=None, limits=limits) as http:

        async def one() -> None:
            async with http.stream("GET", "/page/events", params={"of": "now"}) as answer:
                async for _ in answer.aiter_raw():
                    pass

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(one() for _ in range(count)))


def cost(subject: WildloopSubject, name: str, pages: int, seconds: float) -> str:
    """CPU of each part while so many pages are open, in percent of a core."""
    before = {part.name: part.cpu_seconds for part in subject.parts()}
    began = time.monotonic()
    if pages:
        asyncio.run(_open_pages(f"http://127.0.0.1:{subject.port}", pages, seconds))
    else:
        time.sleep(seconds)
    took = time.monotonic() - began
    used = {part.name: part.cpu_seconds - before.get(part.name, 0.0) for part in subject.parts()}
    shares = ", ".join(f"{part} {100 * value / took:.1f}" for part, value in used.items())
    found = sum(used.values())
    return table_row([name, f"{100 * found / took:.1f}", shares])


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill a home, start anew, measure; print the tables."""
    options = parse(arguments)
    # Ended by a time-out, it still ends what it has started.
    signal.signal(signal.SIGTERM, interrupt)
    watch = MachineWatch()
    with WildloopSubject() as subject:
        subject.start(SLOTS)
        history.fill(subject, options.runs, SEED_SECONDS)
        subject.stop()
        # A long history is an old one: what was created a moment ago is asked for again.
        time.sleep(min(options.rest_s, CLOCK_SLACK.total_seconds()))
        subject.start(SLOTS)
        time.sleep(options.rest_s)
        views = first_views(f"http://127.0.0.1:{subject.port}")
        costs = [
            cost(subject, f"{pages} pages", pages, options.seconds)
            for pages in (0, 1, options.pages)
        ]
    print(f"{options.runs:,} runs; others {watch.cores_of_others():.2f}")
    head = ["first view", "answer (ms)", "painted (ms)", "slowest of 5 (ms)", "kB"]
    print("\n".join([*table_head(head), *views, ""]))
    print("\n".join([*table_head(["open at rest", "% of a core", "of which"]), *costs]))
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    add = parser.add_argument
    add("--runs", type=int, default=5000, help="recorded runs (default: %(default)s)")
    add("--pages", type=int, default=50, help="open pages (default: %(default)s)")
    add("--seconds", type=float, default=30.0, help="of each measure of open pages")
    add("--rest-s", type=float, default=20.0, help="rest after the last start")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
