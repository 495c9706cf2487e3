"""Templates and Markdown of the page: what comes from runs and agents is always text."""

import hashlib
import json
import time
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from wildloop.flows.models.run import Run, RunCounts
from wildloop.flows.text.redaction import redact
from wildloop.shim.page.guard import PREFIX

SPARK = (160, 36)
NONE = "\N{EN DASH}"
MOST_SPARKS = 60
OPENING = '<div class="wide" tabindex="0" role="region" aria-label="Table">'


@cache
def environment() -> Environment:
    """The templates; all that is put into them is escaped."""
    made = Environment(
        loader=PackageLoader("wildloop.shim.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number,
        "moment": moment,
        "duration": duration,
        "markdown": markdown,
        "spark": spark,
        "redact": redact,
        "value": value,
    }
    made.globals |= {
        "asset": asset,
        "counted": counted,
        "bars": bars,
        "spent_seconds": spent_seconds,
    }
    return made


def render(name: str, values: Mapping[str, Any]) -> str:
    """One template."""
    return environment().get_template(name).render(values)


def page(
    request: Request, name: str, values: Mapping[str, Any], status_code: int = 200
) -> HTMLResponse:
    """A template as an answer."""
    access = request.app.state.page_access
    given = {"path": request.url.path, "needs_login": not access.is_open, **values}
    return HTMLResponse(render(name, given), status_code)


@cache
def asset(name: str) -> str:
    """The address of a static file, another after each change of it."""
    content = (files("wildloop.shim.page") / "static" / name).read_bytes()
    return f"{PREFIX}/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


def markdown(text: str) -> Markup:
    """Markdown as HTML; HTML in it is shown as text, and its images as links."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.disable("image")
    tokens = parser.parse(redact(text))
    for token in tokens:
        # The policy allows no style in the page itself.
        if "right" in str(token.attrs.pop("style", "")):
            token.attrSet("class", "right")
    html = str(parser.renderer.render(tokens, parser.options, {}))
    html = html.replace("<table>", f"{OPENING}<table>").replace("</table>", "</table></div>")
    return Markup(html.replace("<pre>", '<pre tabindex="0">'))


def number(given: float | None) -> str:
    """Five significant digits; a dash for none."""
    return NONE if given is None else f"{given:.5g}"


def value(given: Any) -> str:
    """A parameter's value in short."""
    if isinstance(given, float):
        return f"{given:.5g}"
    if isinstance(given, str):
        return given
    return json.dumps(given, default=str)


def moment(seconds: float | None) -> Markup:
    """A time, which the page's script tells in the reader's own."""
    if seconds is None:
        return Markup(NONE)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    return Markup('<time datetime="{}">{} UTC</time>').format(at, at[:16].replace("T", " "))


def duration(seconds: float | None) -> str:
    """`12.3 s`, `4 min 10 s`, `2 h 5 min`."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def spent_seconds(run: Run) -> float | None:
    """How long its command ran; None while it runs or never did."""
    if run.started_at is None or run.finished_at is None:
        return None
    return run.finished_at - run.started_at


def counted(counts: RunCounts) -> list[tuple[str, int]]:
    """The statuses that there are runs of, in their order."""
    words = {"completed": "finished", "canceled": "stopped"}
    numbers = counts.model_dump(exclude={"total"})
    return [(words.get(name, name), number) for name, number in numbers.items() if number]


def bars(counts: RunCounts) -> list[tuple[str, float, float]]:
    """For a bar of 100 units: status, where its part begins, how long it is."""
    found, at = [], 0.0
    for name, count in counted(counts):
        width = 100 * count / max(1, counts.total)
        found.append((name, round(at, 2), round(width, 2)))
        at += width
    return found


def spark(values: list[float]) -> Markup:
    """The values in their order as a small curve; nothing of fewer than two."""
    values = [one for one in values if abs(one) < float("inf")][-MOST_SPARKS:]
    if len(values) < 2:
        return Markup("")
    width, height = SPARK
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    points = " ".join(
        f"{2 + (width - 4) * place / (len(values) - 1):.1f},"
        f"{height - 3 - (height - 6) * (one - low) / span:.1f}"
        for place, one in enumerate(values)
    )
    told = f"{len(values)} runs in their order, from {low:.5g} to {high:.5g}"
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<polyline points="{}"/></svg>'
    ).format(width, height, escape(told), points)
