"""report.html needs nothing from elsewhere and shows the texts of others as texts."""

from html.parser import HTMLParser
from pathlib import Path

from tests.support.reporting import make_facts, make_run, with_series
from wildloop.flows.report.build import build
from wildloop.flows.report.page import page

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/p.png)",
    "</style><script>",
    '" onmouseover="alert(1)',
]


class Seen(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def seen(text: str) -> Seen:
    """The page, parsed."""
    parser = Seen()
    parser.feed(text)
    return parser


def test_page_is_whole_by_itself(tmp_path: Path) -> None:
    runs = [
        with_series(
            make_run(n, 0.5 + n / 100, parameters={"lr": n / 10, "width": 2**n}),
            tmp_path / f"run-{n}",
            [0.1, 0.2, 0.5 + n / 100],
        )
        for n in range(1, 6)
    ]
    found = seen(build(make_facts(runs), tmp_path).html)
    assert not [value for name, value in found.attributes if name == "src"]
    texts = [
        value for name, value in found.attributes if name == "aria-label" and "Sec" not in value
    ]
    assert found.tags.count("svg") == 8, "four pictures, each for wide and for narrow windows"
    assert sum(one.startswith("Learning curves of") for one in texts) == 2
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    links = [value for name, value in found.attributes if name == "href"]
    ids = {value for name, value in found.attributes if name == "id"}
    assert all(one.startswith(("#", "http://127.0.0.1:4200/")) for one in links)
    assert {one[1:] for one in links if one.startswith("#")} <= ids


def test_texts_of_others_bring_no_markup(tmp_path: Path) -> None:
    runs = [
        make_run(n, 0.9, name=text, error=text, parameters={text[:20]: text})
        for n, text in enumerate(HOSTILE, 1)
    ]
    goal = "\n".join(HOSTILE)
    found = seen(build(make_facts(runs, session={"goal": goal}), tmp_path).html)
    assert not {"script", "iframe"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert not [one for one in found.attributes if "javascript" in one[1] and one[0] == "href"]
    assert all(value.startswith("data:") for name, value in found.attributes if name == "src")


def test_unknown_image_is_shown_as_its_text() -> None:
    assert "[a plot]" in page("![a plot](http://elsewhere/x.png)", "t", {})
    assert "<img" not in page("![a plot](http://elsewhere/x.png)", "t", {})


def test_headings_have_anchors() -> None:
    text = page("# A\n\n## What was done\n\n### iteration-03.2\n", "t", {})
    assert 'id="what-was-done"' in text and 'href="#what-was-done"' in text
    assert 'id="iteration-032"' in text
