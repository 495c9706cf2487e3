"""A report as a PDF: its text, tables and pictures, without the record of every run and call."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from fpdf import FPDF
from fpdf.enums import TableBordersLayout, XPos, YPos
from fpdf.fonts import FontFace
from markdown_it import MarkdownIt
from markdown_it.token import Token

from wildloop.flows.report.page import FOLDED

SANS, MONO = "DejaVu", "DejaVuMono"
SIZE, LINE = 9.5, 5.0
SIZES = {"h1": 17, "h2": 12.5, "h3": 10.5}
INK, SOFT, TINT = (28, 32, 36), (91, 101, 112), (245, 247, 249)
KEPT = ("How it is decided",)
"""Of the folded sections those that a reader of the PDF needs."""
MOST_WIDTH = 120.0
REST = "Every run and every call is in the page: `wildloop report SESSION --html FILE`."


def pdf(markdown: str, title: str, pictures: Mapping[str, Path]) -> bytes:
    """The PDF of a Markdown report.

    Args:
        markdown: the report.
        title: of the document.
        pictures: files by the path that the report names them with.
    """
    tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse(markdown)
    sheet = _Sheet(title, pictures)
    for part in _parts(tokens):
        sheet.blocks(part)
    sheet.note(REST.replace("`", ""))
    return bytes(sheet.document.output())


def _parts(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The sections that are told."""
    part: list[Token] = []
    is_told = True
    for place, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            if part and is_told:
                yield part
            name = tokens[place + 1].content
            part, is_told = [], name not in FOLDED or name in KEPT
        part.append(token)
    if part and is_told:
        yield part


class _Sheet:
    """Pages that are written from top to bottom."""

    def __init__(self, title: str, pictures: Mapping[str, Path]) -> None:
        self.document = FPDF(format="A4")
        self._pictures = pictures
        fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
        for style, suffix in (("", ""), ("B", "-Bold"), ("I", "-Oblique"), ("BI", "-BoldOblique")):
            self.document.add_font(SANS, style, fonts / f"DejaVuSans{suffix}.ttf")
        for style, suffix in (("", ""), ("B", "-Bold")):
            self.document.add_font(MONO, style, fonts / f"DejaVuSansMono{suffix}.ttf")
        self.document.set_title(title)
        self.document.set_margin(18)
        self.document.set_auto_page_break(True, margin=16)
        self.document.add_page()
        self._plain()

    def _plain(self) -> None:
        self.document.set_font(SANS, "", SIZE)
        self.document.set_text_color(*INK)

    def note(self, text: str) -> None:
        """A last line, smaller."""
        self.document.ln(4)
        self.document.set_font(SANS, "I", SIZE - 1)
        self.document.set_text_color(*SOFT)
        self.document.multi_cell(0, LINE, text)

    def blocks(self, tokens: Sequence[Token]) -> None:
        """Headings, paragraphs, lists, quotations, code and tables."""
        place, depth, mark = 0, 0, ""
        while place < len(tokens):
            token = tokens[place]
            if token.type == "heading_open":
                self._heading(token.tag, tokens[place + 1])
            elif token.type == "table_open":
                place = self._table(tokens, place)
            elif token.type in ("bullet_list_open", "blockquote_open"):
                depth += 1
                mark = "•  " if token.type == "bullet_list_open" else ""
            elif token.type in ("bullet_list_close", "blockquote_close"):
                depth -= 1
                mark = ""
                self.document.ln(1.5)
            elif token.type == "paragraph_open":
                self._paragraph(tokens[place + 1], depth, mark)
            elif token.type == "fence":
                self._fence(token.content)
            place += 1

    def _heading(self, tag: str, inline: Token) -> None:
        size = SIZES.get(tag, SIZE)
        # A heading does not stand alone at a page's foot.
        if self.document.will_page_break(size + 14):
            self.document.add_page()
        self.document.ln(0 if tag == "h1" else 3)
        self.document.set_font(SANS, "B", size)
        self.document.multi_cell(0, size * 0.55, _text(inline), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.document.ln(1.5)
        self._plain()

    def _paragraph(self, inline: Token, depth: int, mark: str) -> None:
        children = inline.children or []
        images = [one for one in children if one.type == "image"]
        if images:
            for one in images:
                self._image(one)
            return
        margin = self.document.l_margin
        self.document.set_left_margin(margin + 5 * depth)
        self.document.set_x(margin + 5 * depth)
        if depth and not mark:
            self.document.set_text_color(*SOFT)
        if mark:
            self.document.set_x(margin + 5 * depth - 4)
            self.document.write(LINE, mark)
        style, family = "", SANS
        for one in children:
            if one.type in ("strong_open", "strong_close"):
                style = "B" if one.type == "strong_open" else ""
            family = MONO if one.type == "code_inline" else SANS
            text = " " if one.type == "softbreak" else one.content
            if text:
                self.document.set_font(family, style, SIZE - 0.5 * (family == MONO))
                self.document.write(LINE, text)
        self.document.set_left_margin(margin)
        self.document.ln(LINE + (0.4 if mark else 1.8))
        self._plain()

    def _image(self, token: Token) -> None:
        path = self._pictures.get(str(token.attrGet("src")))
        if path is None:
            return
        self.document.image(str(path), w=min(MOST_WIDTH, self.document.epw), alt_text=token.content)
        self.document.ln(2)

    def _fence(self, text: str) -> None:
        self.document.set_font(MONO, "", SIZE - 2)
        self.document.set_fill_color(*TINT)
        self.document.multi_cell(
            0, 4, text.rstrip("\n"), fill=True, padding=2, new_x=XPos.LMARGIN, new_y=YPos.NEXT
        )
        self.document.ln(2.5)
        self._plain()

    def _table(self, tokens: Sequence[Token], start: int) -> int:
        """A table with columns as wide as their texts; returns the place of its end."""
        rows: list[list[str]] = []
        place = start
        while tokens[place].type != "table_close":
            token = tokens[place]
            if token.type == "tr_open":
                rows.append([])
            elif token.type in ("th_open", "td_open"):
                rows[-1].append(_text(tokens[place + 1]))
            place += 1
        self.document.set_font(SANS, "", SIZE - 2)
        widths = [
            min(60.0, max(4.0, *(self.document.get_string_width(row[column]) for row in rows)))
            for column in range(len(rows[0]))
        ]
        with self.document.table(
            col_widths=tuple(width + 3 for width in widths),
            width=min(self.document.epw, sum(widths) + 3.4 * len(widths)),
            align="LEFT",
            text_align="LEFT",
            line_height=4,
            padding=(0.9, 0.8),
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            headings_style=FontFace(emphasis="BOLD", fill_color=TINT),
        ) as table:
            for row in rows:
                cells = table.row()
                for text in row:
                    cells.cell(text)
        self.document.ln(2.5)
        self._plain()
        return place


def _text(inline: Token) -> str:
    """What a reader sees of a line."""
    return "".join(" " if one.type == "softbreak" else one.content for one in inline.children or [])
