"""Texts of others stay texts, whatever marks they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from wildloop.flows.report.text import code, fenced, link, plain, quote, table

PARSER = MarkdownIt("commonmark", {"html": False}).enable("table").enable("strikethrough")
MARKS = st.text(alphabet="ab1 _*`<>[](){}#!|~&;:/\\.-+=\"'é\n\t", max_size=40)
HOSTILE = [
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/p.png)",
    "<http://evil.example>",
    "a | b",
    "1. one",
    "12) twelve",
    "- dash",
    "---",
    "# heading",
    "> quote",
    "__init__ and a_b_c",
    "&lt;b&gt; &amp;",
    "``` fence",
    "=",
    "\\[x\\]",
]


def text_of(markdown: str) -> str:
    """What a reader sees of one paragraph, which must be all that there is."""
    tokens = PARSER.parse(markdown)
    assert [one.type for one in tokens] in (
        [],
        ["paragraph_open", "inline", "paragraph_close"],
    ), [one.type for one in tokens]
    children = (tokens[1].children or []) if tokens else []
    assert {one.type for one in children} <= {"text", "text_special"}, children
    return "".join(one.content for one in children)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_it_is(text: str) -> None:
    assert text_of(plain(text)) == text


@given(MARKS)
def test_any_text_comes_back_as_one_line(text: str) -> None:
    assert text_of(plain(text)).strip() == " ".join(text.split()).strip()


@given(MARKS, MARKS)
def test_table_keeps_its_shape(one: str, other: str) -> None:
    rows = [[plain(one) or "-", code(other)], ["x", "y"]]
    tokens = PARSER.parse(table(["a", "b"], rows))
    assert tokens[0].type == "table_open" and tokens[-1].type == "table_close"
    assert sum(token.type == "td_open" for token in tokens) == 4


@given(MARKS)
def test_quotation_holds_nothing_but_paragraphs(text: str) -> None:
    kinds = {token.type for token in PARSER.parse(quote(text))}
    assert kinds <= {
        "blockquote_open",
        "blockquote_close",
        "paragraph_open",
        "paragraph_close",
        "inline",
    }


@given(MARKS)
def test_code_block_ends_where_it_should(text: str) -> None:
    tokens = PARSER.parse(fenced([text, "end"]) + "\n\nafter")
    assert tokens[0].type == "fence"
    assert tokens[0].content.endswith("end\n")
    assert tokens[2].content == "after"


def test_link_label_cannot_close_the_link() -> None:
    html = PARSER.render(link("x](http://evil.example) [y", "http://127.0.0.1/run"))
    assert html.count("<a ") == 1 and 'href="http://127.0.0.1/run"' in html
