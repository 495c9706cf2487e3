"""Output of tools in bounded room."""

from collections import deque
from threading import Lock


def cut_middle(text: str, limit: int, left_out: int = 0) -> str:
    """The text, or its beginning and its end with a note of what was left out between.

    Args:
        text: the text; `left_out` characters of its middle are gone already.
        limit: how many characters may stay, the note not counted.
        left_out: see `text`; the hole is then in the middle of `text`.
    """
    if len(text) <= limit and not left_out:
        return text
    keep = min(limit, len(text))
    head = keep // 2
    hole = len(text) - keep + left_out
    return f"{text[:head]}\n[... {hole} characters left out ...]\n{text[len(text) - keep + head :]}"


class Tail:
    """Takes in output without end: its first and its last bytes are kept. Safe among threads."""

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._head = b""
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._left_out = 0
        self._lock = Lock()

    def add(self, data: bytes) -> None:
        """Take in a piece."""
        with self._lock:
            self._add(data)

    def text(self, limit: int) -> str:
        """What was taken in, cut to `limit` characters."""
        with self._lock:
            tail, left_out = b"".join(self._tail), self._left_out
        if not left_out:
            return cut_middle((self._head + tail).decode("utf-8", "replace"), limit)
        hole = left_out + max(0, len(tail) - self._half)
        whole = (self._head + tail[-self._half :]).decode("utf-8", "replace")
        return cut_middle(whole, limit, hole)

    def _add(self, data: bytes) -> None:
        room = self._half - len(self._head)
        self._head += data[:room]
        rest = data[room:]
        if not rest:
            return
        self._tail.append(rest)
        self._tail_size += len(rest)
        while self._tail_size - len(self._tail[0]) >= self._half:
            first = len(self._tail.popleft())
            self._tail_size -= first
            self._left_out += first
