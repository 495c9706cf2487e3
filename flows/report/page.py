"""report.html: the Markdown report as one page that needs no network and runs no script."""

import base64
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markdown_it import MarkdownIt
from markdown_it.token import Token

# As search/figure.py writes them; that loads matplotlib, which a page can do without.
NARROW_SUFFIX = ".narrow.svg"
# The browser enforces it too: nothing is loaded, whatever text found its way into the page.
FOLDED = (
    "Kept and discarded",
    "Tree of changes",
    "What was done",
    "Runs behind the numbers",
    "Runs",
    "Calls of the agent",
    "How it is decided",
    "Session",
)
"""The whole record: it is there, behind its heading."""
CARDS = ("Result", "Ablation")
"""Sections whose tables a phone shows as cards, a row each."""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
_ACTIVE = re.compile(r"<script|<foreignObject|<iframe|\son\w+\s*=|href=\"(?!#)", re.IGNORECASE)
_SLUG = re.compile(r"[^\w\- ]")


def page(markdown: str, title: str, pictures: Mapping[str, Path]) -> str:
    """The page of a Markdown report.

    Args:
        markdown: the report; HTML in it is shown as text.
        title: of the browser's window.
        pictures: files by the path that the report names them with; they are put into the page.
            Any other image is shown as its text.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.renderer.rules["image"] = _Images(pictures).render  # type: ignore[attr-defined]
    tokens = parser.parse(markdown)
    sections = _mark_headings(tokens)
    body = "".join(_section(parser, part) for part in _parts(tokens))
    return _template().render(policy=POLICY, title=title, sections=sections, body=body)


def _parts(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The tokens section by section, what stands before the first as the first."""
    part: list[Token] = []
    for token in tokens:
        if token.type == "heading_open" and token.tag == "h2" and part:
            yield part
            part = []
        part.append(token)
    yield part


def _section(parser: MarkdownIt, tokens: Sequence[Token]) -> str:
    """One section; those of the whole record are folded, tables scroll where they are too wide."""
    is_section = bool(tokens) and tokens[0].tag == "h2"
    title = _text(tokens[1]) if is_section else ""
    if title in CARDS:
        _name_cells(tokens)
    body = str(parser.renderer.render(list(tokens), parser.options, {}))
    what = html.escape(title or "Table")
    cards = " cards" if title in CARDS else ""
    opening = f'<div class="wide{cards}" role="region" tabindex="0" aria-label="{what}: table">'
    body = body.replace("<table>", f"{opening}<table>").replace("</table>", "</table></div>")
    body = body.replace("<pre>", '<pre tabindex="0">')
    body = body.replace("<th></th>", '<th><span class="unseen">standing</span></th>')
    body = body.replace("<th>", '<th scope="col">').replace("<th style", '<th scope="col" style')
    if title not in FOLDED:
        return body
    heading, _, rest = body.partition("</h2>")
    return f"<details><summary>{heading}</h2></summary>{rest}</details>\n"


def _name_cells(tokens: Sequence[Token]) -> None:
    """Give every cell of a table the name of its column, which a phone shows beside it."""
    names: list[str] = []
    place = 0
    for token, following in pairwise(tokens):
        if token.type == "table_open":
            names = []
        elif token.type == "th_open":
            names.append(_text(following))
        elif token.type == "tr_open":
            place = 0
        elif token.type == "td_open":
            token.attrSet("data-name", names[place] if place < len(names) else "")
            place += 1


def _text(inline: Token) -> str:
    return "".join(one.content for one in inline.children or [])


def _template() -> Template:
    """The page around a report; what is put into it is escaped."""
    text = (files(__package__) / "page.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(text)


def slug_of(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return _SLUG.sub("", heading.strip().lower()).replace(" ", "-")


def _mark_headings(tokens: Sequence[Token]) -> list[tuple[str, str]]:
    """Give every heading its anchor; return (anchor, text) of the sections."""
    found, seen = [], set[str]()
    for token, inline in pairwise(tokens):
        if token.type != "heading_open":
            continue
        text = _text(inline)
        slug = slug_of(text)
        if slug in seen:
            continue
        seen.add(slug)
        token.attrSet("id", slug)
        if token.tag == "h2":
            found.append((slug, text))
    return found


class _Images:
    """Renders the images of a page from files."""

    def __init__(self, pictures: Mapping[str, Path]) -> None:
        self._pictures = pictures

    def render(self, tokens: Sequence[Token], index: int, options: object, env: object) -> str:
        """One image: its file's content, or its text where it is none of the pictures."""
        token = tokens[index]
        text = html.escape(token.content)
        path = self._pictures.get(str(token.attrGet("src")))
        if path is None:
            return f"[{text}]"
        vector = [_svg(path.with_suffix(suffix), text) for suffix in (".svg", NARROW_SUFFIX)]
        if all(vector):
            wide, narrow = vector
            return (
                f'<span class="plot"><span class="if-wide">{wide}</span>'
                f'<span class="if-narrow">{narrow}</span></span>'
            )
        try:
            data = base64.b64encode(path.read_bytes()).decode()
        except OSError:
            return f"[{text}]"
        return f'<img alt="{text}" src="data:image/png;base64,{data}">'


def _svg(path: Path, text: str) -> str:
    """A picture's vector form with its text; empty where it has none."""
    try:
        content = path.read_text(encoding="utf-8")
    except OSError:
        return ""
    # A picture may be another's by now: what could do anything is not put into the page.
    if _ACTIVE.search(content):
        return ""
    return content.replace("<svg ", f'<svg role="img" aria-label="{text}" ', 1).strip()
