"""Idempotency keys of tool calls: one that is repeated for want of an answer creates once."""

import json
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

REMEMBERED = 200


class CallKeys:
    """Gives each call a key; that of a call without an answer goes to its repetition.

    No answer: the API failed or was too slow, or the client has given the call up. A call that was
    answered may be made again on purpose, as for three runs of one configuration: it gets a key
    of its own.
    """

    def __init__(self) -> None:
        self._unanswered: OrderedDict[str, list[str]] = OrderedDict()

    @contextmanager
    def key(self, tool: str, arguments: dict[str, Any]) -> Iterator[str]:
        """The key of a call; a block that is left by an exception has had no answer."""
        what = json.dumps([tool, arguments], sort_keys=True, default=str)
        left = self._unanswered.pop(what, [])
        key = left.pop() if left else f"mcp-{uuid4()}"
        if left:
            self._unanswered[what] = left
        answered = False
        try:
            yield key
            answered = True
        finally:
            if not answered:
                self._unanswered.setdefault(what, []).append(key)
                if len(self._unanswered) > REMEMBERED:
                    self._unanswered.popitem(last=False)
