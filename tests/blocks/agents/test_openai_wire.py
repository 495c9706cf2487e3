"""Answers of servers that differ: put together, refused, adapted to."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stub_models import Bulk, Garbage, Refuse, Say, Step, StubModel
from wildloop.blocks.agents.tool_loop import client
from wildloop.blocks.agents.tool_loop.adapt import Features, adapt, is_overflow
from wildloop.blocks.agents.tool_loop.client import (
    ContextOverflow,
    ModelClient,
    ModelFault,
    Request,
    ToolsRefused,
    asked_pause,
)
from wildloop.blocks.agents.tool_loop.events import Event
from wildloop.blocks.agents.tool_loop.messages import Answer, Call, Kind, Message, to_wire
from wildloop.blocks.agents.tool_loop.settings import Clock, LoopSettings, Secrets
from wildloop.blocks.agents.tool_loop.wire import (
    TEXT_LIMIT_CHARACTERS,
    AnswerBuilder,
    MalformedAnswer,
    StreamError,
    data_lines,
    error_of,
)

Piece = dict[str, Any]
PROMPT = [Message(Kind.SYSTEM, "system"), Message(Kind.PROMPT, "prompt")]


def built(*deltas: Piece, **chunk: Any) -> Answer:
    builder = AnswerBuilder()
    for delta in deltas:
        builder.feed(json.dumps({"choices": [{"delta": delta}]} | chunk).encode())
    return builder.answer()


def calls(*pieces: Piece) -> list[tuple[str, str, str]]:
    answer = built(*({"tool_calls": [piece]} for piece in pieces))
    return [(call.id, call.name, call.arguments) for call in answer.calls]


def piece(arguments: Any, name: str | None = None, **fields: Any) -> Piece:
    return {"function": {"name": name, "arguments": arguments}} | fields


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (
            [
                piece("", "bash", index=0, id="a"),
                piece('{"x"', index=0),
                piece("{}", "read", index=1, id="b"),
                piece(": 1}", index=0),
            ],
            [("a", "bash", '{"x": 1}'), ("b", "read", "{}")],
        ),
        (
            [piece("{}", "bash", index=0, id="a"), piece("[]", "read", index=0, id="b")],
            [("a", "bash", "{}"), ("b", "read", "[]")],
        ),
        (
            [piece("{", "bash", index=0, id="a"), piece("}", "bash", index=0, id="a")],
            [("a", "bash", "{}")],
        ),
        (
            [piece("{}", "bash"), piece("[1", "read"), piece("]")],
            [("", "bash", "{}"), ("", "read", "[1]")],
        ),
        (
            [piece("{", "bash", id="a"), piece("[", "read", id="b"), piece("}", id="a")],
            [("a", "bash", "{}"), ("b", "read", "[")],
        ),
        ([piece({"x": 1}, "bash", index=0)], [("", "bash", '{"x": 1}')]),
        ([piece(None, "bash", index=0, id="a")], [("a", "bash", "{}")]),
    ],
)
def test_pieces_of_calls_find_one_another(
    pieces: list[Piece], expected: list[tuple[str, str, str]]
) -> None:
    assert calls(*pieces) == expected


@pytest.mark.parametrize(
    "delta", [{"content": None}, {}, {"content": ""}, {"tool_calls": None}, {"reasoning": "hm"}]
)
def test_delta_without_anything_adds_nothing(delta: Piece) -> None:
    answer = built(delta, {"content": "a"}, {"content": [{"type": "text", "text": "b"}]})
    assert (answer.text, answer.calls, answer.usage) == ("ab", (), None)


def test_running_totals_of_usage_are_not_summed() -> None:
    answer = built({}, {}, usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})
    assert answer.usage is not None and (answer.usage.input, answer.usage.output) == (9, 2)


def test_half_of_a_surrogate_pair_can_be_stored() -> None:
    builder = AnswerBuilder()
    builder.feed(b'{"choices": [{"delta": {"content": "a\\ud83d"}}]}')
    assert builder.answer().text == "a?"


def test_of_a_text_without_end_the_end_is_kept() -> None:
    part = {"content": "x" * (TEXT_LIMIT_CHARACTERS // 4)}
    answer = built(*[part] * 6, {"content": "END"})
    assert answer.text.endswith("xEND") and "characters of this answer" in answer.text[:80]
    assert len(answer.text) < TEXT_LIMIT_CHARACTERS + 100


@pytest.mark.parametrize("data", [b"{", b"[]", b"7", b'{"choices": 7}', b"\xff\xfe", b"[" * 10**5])
def test_odd_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        AnswerBuilder().feed(data)


def test_error_in_the_stream_keeps_its_code() -> None:
    with pytest.raises(StreamError, match="busy") as caught:
        AnswerBuilder().feed(b'{"error": {"message": "busy", "code": 503}}')
    assert caught.value.status == 503


@given(st.lists(st.text(), min_size=1), st.sampled_from(["\n", "\n\n", "\r\n\r\n"]), st.data())
def test_stream_reads_the_same_however_it_is_cut(
    texts: list[str], end: str, data: st.DataObject
) -> None:
    lines = [json.dumps({"t": text}, ensure_ascii=False) for text in texts]
    stream = (f": ping{end}event: x{end}" + "".join(f"data:{line}{end}" for line in lines)).encode(
        "utf-8", "surrogatepass"
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected = [line.encode("utf-8", "surrogatepass") for line in lines]
    assert list(data_lines(pieces)) == expected


def test_line_without_end_is_given_up() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"data: " + b"x" * 2**20

    with pytest.raises(MalformedAnswer, match="no end"):
        list(data_lines(endless()))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": {"message": "m", "code": 400}}', ("m", 400)),
        (b'{"error": "m"}', ("m", None)),
        (b'{"object": "error", "message": "m", "code": 404}', ("m", 404)),
        (b'{"detail": [{"loc": ["x"]}]}', ('[{"loc": ["x"]}]', None)),
        (b'{"error": {"message": "m", "code": "odd"}}', ("m", None)),
        (b"<html>gone</html>", ("<html>gone</html>", None)),
        (b"", ("nothing", None)),
    ],
)
def test_error_reports_of_all_forms(body: bytes, expected: tuple[str, int | None]) -> None:
    assert error_of(body) == expected


@pytest.mark.parametrize(
    ("status", "message", "lost"),
    [
        (400, "registry.ollama.ai/library/x does not support tools", {"tools"}),
        (400, '"auto" tool choice requires --enable-auto-tool-choice to be set', {"tools"}),
        (500, "tools param requires --jinja flag", {"tools"}),
        (500, "the tool parser crashed", None),
        (422, "stream_options: extra fields not permitted", {"usage"}),
        (400, "Unsupported parameter: 'max_tokens'", {"output_limit"}),
        (400, "Unsupported value: 'temperature'", {"temperature"}),
        (400, "System role not supported", {"system_role"}),
        (400, "tool_choice must not be 'none' here", {"tool_choice"}),
        (400, "This model's maximum context length is 4096 tokens", None),
        (400, "bad request", None),
        (429, "too many tools", None),
        (None, "tools", None),
    ],
)
def test_refusal_costs_the_part_that_it_is_about(
    status: int | None, message: str, lost: set[str] | None
) -> None:
    found = adapt(Features(), status, message)
    if lost is None:
        assert found is None
    else:
        assert found is not None
        before, after = vars(Features()), vars(found)
        assert {name for name in before if before[name] != after[name]} == lost
        assert adapt(found, status, message) is None


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (400, "maximum context length is 4096 tokens", True),
        (400, "the request exceeds the available context size", True),
        (400, "prompt is too long: 9 tokens > 8 maximum", True),
        (413, "Request Entity Too Large", True),
        (429, "Request too large for the tokens per minute", False),
        (400, "bad context", False),
    ],
)
def test_overflow_is_told_from_other_refusals(status: int, message: str, expected: bool) -> None:
    assert is_overflow(status, message) is expected


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "7"}, "", 7),
        ({"retry-after-ms": "1500", "retry-after": "9"}, "", 1.5),
        ({"retry-after": "-3"}, "", 0),
        ({"retry-after": "soon"}, "try again in 2 minutes", 120),
        ({}, "slow down", None),
    ],
)
def test_asked_pause(headers: dict[str, str], message: str, seconds: float | None) -> None:
    assert asked_pause(httpx.Headers(headers), message) == seconds


def test_asked_pause_as_a_date() -> None:
    due = datetime.now(UTC) + timedelta(hours=1)
    found = asked_pause(httpx.Headers({"retry-after": format_datetime(due, usegmt=True)}), "")
    assert found == pytest.approx(3600, abs=30)


def test_messages_of_the_user_in_a_row_become_one() -> None:
    call = Call("c", "bash", "no json")
    messages = [
        *PROMPT,
        Message(Kind.ANSWER, "", (call,)),
        Message(Kind.OUTPUT, "out", call_id="c"),
        Message(Kind.NOTE, "n1"),
        Message(Kind.NOTE, "n2"),
    ]
    wire = to_wire(messages, system_role=False)
    assert [message["role"] for message in wire] == ["user", "assistant", "tool", "user"]
    assert wire[0]["content"] == "system\n\nprompt" and wire[-1]["content"] == "n1\n\nn2"
    assert json.loads(wire[1]["tool_calls"][0]["function"]["arguments"]) == {"invalid": "no json"}


class Log:
    def __init__(self) -> None:
        self.types: list[str] = []

    def emit(self, event: Event) -> None:
        self.types.append(event.type)


def ask(
    messages: list[Message],
    *steps: Step,
    seconds: float = 20.0,
    log: Log | None = None,
    **fields: Any,
) -> Answer:
    with StubModel(*steps) as model:
        settings = LoopSettings(
            base_url=f"{model.url}/v1", model="stub", backoff_seconds=0.01, **fields
        )
        with ModelClient(settings, Secrets(None, {}), Clock.start(seconds), log or Log()) as asked:
            tool = {"type": "function", "function": {"name": "bash", "parameters": {}}}
            return asked.ask(Request(messages, [tool]))


def test_answer_of_a_server() -> None:
    assert ask(PROMPT, Say("hello")).text == "hello"


def test_tools_are_given_up_only_before_the_first_call() -> None:
    refusal = Refuse(400, "no tools here")
    with pytest.raises(ToolsRefused):
        ask(PROMPT, refusal)
    used = [*PROMPT, Message(Kind.ANSWER, "", (Call("c", "bash", "{}"),))]
    with pytest.raises(ModelFault, match="no tools here"):
        ask(used, refusal)


def test_overflow_is_reported_as_such() -> None:
    with pytest.raises(ContextOverflow):
        ask(PROMPT, Refuse(400, "prompt is too long"))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Refuse(401, "who are you"), r"401: who are you \(is the API key set"),
        (Garbage(b"", "application/json"), "empty or malformed response"),
        (Garbage(b"[]", "application/json"), "empty or malformed response"),
        (Garbage(b"data: [DONE]"), None),
    ],
)
def test_what_is_no_answer_says_so(step: Step, said: str | None) -> None:
    if said is None:
        assert ask(PROMPT, step, retries=0) == Answer("")
        return
    with pytest.raises(ModelFault, match=said):
        ask(PROMPT, step, retries=0)


def test_long_answer_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PROGRESS_SECONDS", -1.0)
    log = Log()
    ask(PROMPT, Bulk(300_000), log=log)
    assert log.types and set(log.types) == {"progress"}


def test_no_request_is_sent_when_the_time_is_up() -> None:
    with pytest.raises(ModelFault, match="time of the call is up"):
        ask(PROMPT, Say("late"), seconds=-client.OVERTIME_SECONDS)
