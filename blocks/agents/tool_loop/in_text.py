"""Tool calls that stand in the text of an answer, where the server knows no tools."""

import json
import re
from dataclasses import dataclass

from wildloop.blocks.agents.tool_loop.messages import Call
from wildloop.blocks.agents.tool_loop.tools import BASH

_THOUGHT = re.compile(r"\A\s*<think(?:ing)?>.*?</think(?:ing)?>\s*", re.DOTALL)
# An element of the final message may quote commands; they are not meant to be run.
_ELEMENT = re.compile(r"^[ \t]*<([a-z_]+)>.*?</\1>[ \t]*$", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(
    r"^[ \t]*```(?:bash|sh|shell)[ \t]*\n(.*?)\n?^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE
)
_MARKED = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)


@dataclass(frozen=True)
class TextCalls:
    """The call found in a text, and how many more there were that were passed over."""

    call: Call
    others: int


def without_thoughts(text: str) -> str:
    """The text without the thinking that some models put before it."""
    return _THOUGHT.sub("", text, count=1)


def fenced_call(text: str, strict: bool = False) -> TextCalls | None:
    """The first fenced shell block outside the elements of a final message.

    Only the first counts: what comes after it was written without knowing its output. With
    `strict`, a text that has any element counts as a final message, and none of it is run.
    """
    if strict and _ELEMENT.search(text):
        return None
    found = [match[1] for match in _FENCE.finditer(_ELEMENT.sub("", text)) if match[1].strip()]
    if not found:
        return None
    return TextCalls(Call("", BASH, json.dumps({"command": found[0]})), len(found) - 1)


def marked_call(text: str) -> TextCalls | None:
    """The first `<tool_call>` that a model has written out, since its server did not parse it."""
    found = []
    for match in _MARKED.finditer(text):
        try:
            value = json.loads(match[1], strict=False)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            arguments = value.get("arguments", value.get("parameters", {}))
            text_form = arguments if isinstance(arguments, str) else json.dumps(arguments)
            found.append(Call("", value["name"], text_form))
    return TextCalls(found[0], len(found) - 1) if found else None
