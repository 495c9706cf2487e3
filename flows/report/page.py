"""report.html: the Markdown report as one page that needs no network and runs no script."""

import base64
import html
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from flows.report.style import STYLE

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
    entries = "".join(f'<li><a href="#{slug}">{name}</a></li>' for slug, name in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f'<body>\n<nav aria-label="Sections"><ol>{entries}</ol></nav>\n<main>\n{body}</main>\n'
        "</body>\n</html>\n"
    )


def slug_of(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return _SLUG.sub("", heading.strip().lower()).replace(" ", "-")


def _mark_headings(tokens: Sequence[Token]) -> list[tuple[str, str]]:
    """Give every heading its anchor; return (anchor, text as HTML) of the sections."""
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
            found.append((slug, html.escape(text)))
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
