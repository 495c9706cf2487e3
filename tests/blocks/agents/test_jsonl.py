"""Event streams are read whole, in pieces of any size, in bounded memory."""

import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.blocks.agents.jsonl import EventReader, read_events

MIB = 1024 * 1024
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
events = st.lists(st.dictionaries(st.text(), values, max_size=4), max_size=5)


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def read(data: bytes, size: int, **limits: int) -> tuple[list[dict[str, Any]], str]:
    reader = EventReader(**limits)
    found = [event for piece in pieces(data, size) for event in reader.feed(piece)]
    return [*found, *reader.finish()], reader.stray


@given(
    wanted=events,
    size=st.integers(1, 40),
    ascii_only=st.booleans(),
    last=st.booleans(),
    whole_line=st.sampled_from([0, 5, MIB]),
)
def test_events_come_whole_however_the_stream_is_cut(
    wanted: list[dict[str, Any]], size: int, ascii_only: bool, last: bool, whole_line: int
) -> None:
    lines = [json.dumps(event, ensure_ascii=ascii_only) for event in wanted]
    data = "\n".join(lines).encode() + (b"\n" if last else b"")
    assert read(data, size, whole_line=whole_line) == (wanted, "")


@given(text=st.text(), size=st.integers(1, 20), limit=st.integers(8, 30), plain=st.booleans())
def test_overlong_string_keeps_its_end_and_says_so(
    text: str, size: int, limit: int, plain: bool
) -> None:
    data = json.dumps({"a": 1, "text": text, "z": [2]}, ensure_ascii=plain).encode()
    (event,), _ = read(data, size, whole_line=0, string_limit=limit)
    assert (event["a"], event["z"]) == (1, [2])
    if event["text"] != text:
        note, _, end = event["text"].partition("left out]\n")
        assert note.startswith("[the first ")
        # The cut may part the bytes of one character, or the halves of a pair of surrogates.
        kept = re.sub("^[\ufffd\udc00-\udfff]+", "", end)
        assert text.endswith(kept)


@pytest.mark.parametrize(
    "line",
    [b"no json", b"[1, 2]", b'"text"', b"{", b'{"a": ' + b"[" * 100_000, b'{"a": "\\x"}', b"\xff"],
)
@pytest.mark.parametrize("whole_line", [0, MIB])
def test_line_that_is_no_event_is_left_out_and_told(line: bytes, whole_line: int) -> None:
    found, stray = read(b'{"a": 1}\n' + line + b'\n\n  \n{"b": 2}', 7, whole_line=whole_line)
    assert found == [{"a": 1}, {"b": 2}]
    assert stray and line.decode("utf-8", "replace").startswith(stray)


def test_line_beyond_all_measure_is_left_out() -> None:
    line = b'{"a": [' + b'"xxxx",' * 1000 + b"0]}"
    found, stray = read(line + b'\n{"b": 2}', 64, whole_line=100, line_limit=1000)
    assert found == [{"b": 2}]
    assert stray.startswith('{"a": [')


def test_line_of_fifty_megabytes_does_not_fill_memory(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    block = ("0123456789abcde\\n" * 65536).encode()
    with path.open("wb") as file:
        file.write(b'{"type": "text", "text": "')
        for _ in range(50):
            file.write(block)
        file.write(b'the end"}\n{"type": "last"}\n')
    tracemalloc.start()
    long, last = ((event["type"], event.get("text", "")[-20:]) for event in read_events(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert long == ("text", "3456789abcde\nthe end")
    assert last == ("last", "")
    assert peak < 60 * MIB
