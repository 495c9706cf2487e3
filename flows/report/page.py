"""report.html: the Markdown report as one page that needs no network and runs no script."""

import base64
import html
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markdown_it import MarkdownIt
from markdown_it.token import Token

# The browser enforces it too: nothing is loaded, whatever text found its way into the page.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
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
    body = parser.renderer.render(tokens, parser.options, {})
    body = body.replace("<table>", '<div class="wide"><table>')
    body = body.replace("</table>", "</table></div>")
    return _template().render(policy=POLICY, title=title, sections=sections, body=body)


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
        text = "".join(one.content for one in inline.children or [])
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
        try:
            content = path.read_bytes() if path is not None else None
        except OSError:
            content = None
        if content is None:
            return f"[{text}]"
        data = base64.b64encode(content).decode()
        return f'<img alt="{text}" src="data:image/png;base64,{data}">'
