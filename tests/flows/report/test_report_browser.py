"""The pages of every case in Chromium and by axe: on a phone and on a desk, light and dark."""

import html
import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.support.report_cases import CASES, WIDTHS, take_picture, write_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed"),
]
SMALLEST_TEXT = 9
"""Height of a plot's text in pixels."""
LOOK = """
addEventListener("load", async () => {
  const texts = [...document.querySelectorAll("svg text")]
  const shown = texts.filter(one => one.getClientRects().length)
  const found = {
    case: document.title, width: document.documentElement.scrollWidth, texts: shown.length,
    smallest: Math.min(99, ...shown.map(one => parseFloat(getComputedStyle(one).fontSize)
      * one.ownerSVGElement.getScreenCTM().a)),
    axe: [],
  }
  if (window.axe) {
    document.querySelectorAll("details").forEach(one => one.open = true)
    const said = await axe.run(document, {resultTypes: ["violations"]})
    found.axe = said.violations.filter(one => ["serious", "critical"].includes(one.impact))
      .map(one => one.id + ": " + one.nodes[0].html.slice(0, 200))
  }
  parent.postMessage(found, "*")
})
"""
COLLECT = """
addEventListener("message", event => {
  const told = document.createElement("pre")
  told.className = "told"
  told.textContent = JSON.stringify(event.data)
  document.body.append(told)
})
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of each case."""
    root = tmp_path_factory.mktemp("pages")
    found = {}
    for name in CASES:
        (root / name).mkdir()
        found[name] = write_page(name, root / name)
    return found


def looked_at(pages: dict[str, Path], width: int, scheme: str) -> list[dict[str, Any]]:
    """What scripts in the pages measure: their policy, which allows none, is taken out for that."""
    root = next(iter(pages.values())).parents[1]
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    scripts = "".join(f"<script>{one}</script>" for one in (axe, LOOK))
    frames = ""
    for name, page in pages.items():
        text = re.sub(r'<meta http-equiv="Content-Sec[^>]*>', "", page.read_text(encoding="utf-8"))
        text = re.sub(r"<title>.*?</title>", f"<title>{name}</title>", text)
        page.with_name("measured.html").write_text(text.replace("</head>", f"{scripts}</head>"))
        frames += f'<iframe src="{name}/measured.html" width={width} height=900></iframe>'
    whole = root / "all.html"
    style = f"<style>:root{{color-scheme:{scheme}}} iframe{{border:0}}</style>"
    whole.write_text(f"<!DOCTYPE html>{style}<script>{COLLECT}</script><body>{frames}")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    flags += ["--window-size=1500,2000", "--virtual-time-budget=60000", "--dump-dom"]
    done = subprocess.run(
        ["chromium", *flags, whole.as_uri()], capture_output=True, text=True, timeout=300
    )
    told = re.findall(r'<pre class="told">(.*?)</pre>', done.stdout, re.DOTALL)
    return [json.loads(html.unescape(one)) for one in told]


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_fit_and_can_be_read(pages: dict[str, Path], width: int) -> None:
    scheme = "dark" if width == min(WIDTHS) else "light"
    found = looked_at(pages, width, scheme)
    assert {one["case"] for one in found} == set(CASES)
    for one in found:
        assert one["width"] <= width, one
        assert one["smallest"] >= SMALLEST_TEXT, one
        assert one["axe"] == [], one
    assert next(one for one in found if one["case"] == "won")["texts"] > 60


def test_pictures_of_a_page_are_taken(pages: dict[str, Path]) -> None:
    for width in WIDTHS:
        assert take_picture(pages["won"], width).stat().st_size > 50_000
