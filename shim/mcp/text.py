"""Short text for an agent: what is too long is cut, and the cut is told."""

import json
from typing import Any

MOST_ITEMS = 50
STRING_CHARACTERS = 2_000
ANSWER_CHARACTERS = 40_000


def shortened(value: Any) -> Any:
    """The same without empty fields; strings, lists and mappings cut to a bounded size."""
    if isinstance(value, str):
        return cut_middle(value, STRING_CHARACTERS)
    if isinstance(value, list):
        kept = [shortened(item) for item in value[:MOST_ITEMS]]
        return [*kept, _more(len(value))] if len(value) > MOST_ITEMS else kept
    if isinstance(value, dict):
        full = {key: item for key, item in value.items() if item not in (None, "", [], {})}
        found = {key: shortened(item) for key, item in list(full.items())[:MOST_ITEMS]}
        return found | {"...": _more(len(full))} if len(full) > MOST_ITEMS else found
    return value


def cut_middle(text: str, size: int) -> str:
    """At most about `size` characters: the beginning and the end, with a note between them."""
    if len(text) <= size:
        return text
    head, tail = text[: size // 2], text[len(text) - size // 2 :]
    return f"{head} [... {len(text) - len(head) - len(tail)} characters left out ...] {tail}"


def to_json(value: Any) -> str:
    """One compact JSON document of a bounded size."""
    text = json.dumps(shortened(value), ensure_ascii=False, separators=(",", ":"))
    return cut_middle(text, ANSWER_CHARACTERS)


def _more(total: int) -> str:
    return f"{total - MOST_ITEMS} more"
