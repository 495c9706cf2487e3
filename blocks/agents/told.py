"""What a command's own output tells of its answer: the text, tokens and the cost."""

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from wildloop.blocks.agents.prices import Usage

FIELDS = ("text", "cost", *Usage.model_fields)
SPEC = re.compile(r"jsonl?:(?P<places>.+)", re.DOTALL)
MOST_EVENTS = 200_000


class Told(BaseModel):
    """`text` is None where the output has none at its place; then the output itself is the text."""

    model_config = ConfigDict(frozen=True)

    text: str | None = None
    usage: dict[str, int] = Field(default_factory=dict)
    cost_usd: float | None = None


def places_of(spec: str) -> dict[str, tuple[str, ...]]:
    """Where each field stands, as in `jsonl:input=usage.input_tokens,text=result`.

    A place is keys with dots between; `*` stands for every key or entry, whose numbers add up.

    Raises:
        ValueError: the text is no such list, or names an unknown field.
    """
    found = SPEC.fullmatch(spec.strip())
    if found is None:
        raise ValueError(
            "must begin with 'json:' or 'jsonl:', as in "
            "'jsonl:input=usage.input_tokens,output=usage.output_tokens,text=result'"
        )
    places = {}
    for part in found["places"].split(","):
        name, equals, place = (each.strip() for each in part.partition("="))
        if not equals or not place or name not in FIELDS:
            raise ValueError(f"'{part.strip()}' is no NAME=PLACE; a name is one of {FIELDS}")
        places[name] = tuple(place.split("."))
    return places


def told_of(spec: str, output: str) -> Told:
    """Read a command's output: one JSON document, or a line each; the last that tells counts."""
    places = places_of(spec)
    latest: dict[str, Any] = {}
    for event in _events(output):
        for name, place in places.items():
            if (value := _at(event, place, name)) is not None:
                latest[name] = value
    usage = {name: int(latest[name]) for name in Usage.model_fields if name in latest}
    return Told(text=latest.get("text"), usage=usage, cost_usd=latest.get("cost"))


def _events(output: str) -> Iterator[Any]:
    try:
        whole = json.loads(output)
    except (ValueError, RecursionError):
        for line in output.splitlines()[-MOST_EVENTS:]:
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue
    else:
        yield from whole if isinstance(whole, list) else [whole]


def _at(event: Any, place: tuple[str, ...], name: str) -> str | float | None:
    found = list(_values(event, place))
    if name == "text":
        texts = [one for one in found if isinstance(one, str) and one.strip()]
        return "\n".join(texts) or None
    numbers = [one for one in found if isinstance(one, int | float) and not isinstance(one, bool)]
    return sum(numbers) if numbers else None


def _values(value: Any, place: tuple[str, ...]) -> Iterator[Any]:
    if not place:
        yield value
        return
    first, rest = place[0], place[1:]
    if first == "*":
        entries = value.values() if isinstance(value, dict) else value
        for entry in entries if isinstance(value, dict | list) else ():
            yield from _values(entry, rest)
    elif isinstance(value, dict) and first in value:
        yield from _values(value[first], rest)
