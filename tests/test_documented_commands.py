"""What README and docs tell to type exists: commands, options, links, keys of wildloop.toml."""

import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from wildloop.flows.project import ProjectConfig
from wildloop.shim.described import commands, options_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OWN_OPTIONS = ("worker", "serve")
"""Commands that hand their options on to another parser."""
_FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
_INLINE = re.compile(r"`(wildloop [^`]+)`")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def typed(text: str) -> Iterator[str]:
    """Every command line that begins with wildloop, without prompt, comment and what follows."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from fenced(text)
    yield from _commands(" ".join(one.split()) for one in _INLINE.findall(prose))


def fenced(text: str) -> Iterator[str]:
    """The command lines of the code blocks, which are there to be typed."""
    blocks = [body for kind, body in _FENCED.findall(text) if kind in ("bash", "sh", "")]
    yield from _commands(line for body in blocks for line in body.replace("\\\n", " ").splitlines())


def _commands(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        for part in re.split(r"\s#\s|;\s|\s&&\s|\s\|\s", line):
            if part.strip().startswith("wildloop "):
                yield part.strip()


def lines() -> list[tuple[str, str]]:
    found = [(page.name, line) for page in PAGES for line in typed(page.read_text("utf-8"))]
    return list(dict.fromkeys(found))


def words_of(line: str) -> list[str]:
    # A usage has `[N]` for what may be left out and <x> for what is to be filled in.
    plain = re.sub(r"[\[\]<>…|]|\.\.\.", " ", line)
    return shlex.split(plain, comments=True)[1:]


@pytest.mark.parametrize(("page", "line"), lines(), ids=lambda text: text)
def test_a_command_that_is_told_exists_with_its_options(page: str, line: str) -> None:
    known = commands()
    words = words_of(line)
    if not words or words[0].startswith("-"):
        assert words in ([], ["--version"], ["--help"])
        return
    name = next((one for one in (" ".join(words[:2]), words[0]) if one in known), None)
    groups = {one.split()[0] for one in known if " " in one}
    assert name is not None or words in ([group] for group in groups), f"{page}: no such command"
    if name is None or name in OWN_OPTIONS:
        return
    has = {*options_of(known[name]), "--help"}
    given = [word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)]
    assert set(given) <= has, f"{page}: {name} has {sorted(has)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    links = [one for one in _LINK.findall(page.read_text("utf-8")) if "://" not in one]
    assert [one for one in links if not (page.parent / one).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_of_wildloop_toml_are_valid(page: Path) -> None:
    for kind, body in _FENCED.findall(page.read_text("utf-8")):
        if kind == "toml":
            ProjectConfig.model_validate(tomllib.loads(body))


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    missing = {name.split()[0] for name in commands()} - set(re.findall(r"[a-z]+", text))
    assert missing == set()
