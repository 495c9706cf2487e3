"""The docs as a site."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def test_the_site_is_built_without_a_broken_link(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site")))
    assert (tmp_path / "site" / "first-hour" / "index.html").is_file()


def test_every_page_is_in_the_navigation() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    named = {page for entry in nav for page in entry.values()}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= named
