"""Which outputs of a command tell of its own limit, and which only speak of one."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.blocks.agents.printed_troubles import PrintedTrouble, printed_trouble
from wildloop.blocks.agents.troubles import Trouble

NOW = datetime(2026, 3, 10, 12, 0).astimezone().timestamp()
RATE, NETWORK = Trouble.RATE_LIMIT, Trouble.NETWORK


def found(reply: str = "", errors: str = "", code: int | None = 0) -> PrintedTrouble | None:
    return printed_trouble(reply, errors, code, NOW)


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        ("You've hit your limit, it resets in 2 minutes\n", 120),
        ("You\u2019ve hit your session limit · resets 3pm\n", 3 * 3600),
        ("\x1b[31mYou have reached your weekly limit. Resets at 13:00\x1b[0m", 3600),
        (f"Claude AI usage limit reached|{int(NOW) + 90}", 90),
        ("API Error: 429 Too Many Requests", None),
        ('API Error: 429 {"type":"error","error":{"type":"rate_limit_error"}}', None),
        ("Error: 429 Too Many Requests, try again in 2 minutes", 120),
        ("[ERROR] rate limit exceeded\nretry-after: 7\n", 7),
        ("2026-03-10T12:00:00Z ERROR client: too many requests, retry after 30 s", 30),
        ("openai.RateLimitError: Error code: 429 - {'error': {'message': 'slow'}}", None),
        ("ERROR: You've hit your usage limit. Try again in 3 days 2 hours.", 266400),
        ("429: rate limited", None),
        ("Rate limit exceeded. Please retry after 30 s.", 30),
        ("Request failed with status code 429", None),
        ("✖ You have exhausted your capacity. Your quota will reset after 2h", 7200),
        ('{"error": "429 Too Many Requests", "retry_after": 5}', 5),
        ("Looking at the files.\n\nNow the plan.\n\nYou've hit your limit · resets 3pm", 10800),
    ],
)
def test_limit_on_stdout_is_seen_though_the_command_says_it_went_well(
    reply: str, seconds: float | None
) -> None:
    told = found(reply)
    assert told is not None and told.trouble is RATE
    assert told.pause_seconds == (None if seconds is None else pytest.approx(seconds, abs=1))
    assert "\x1b" not in told.message


@pytest.mark.parametrize(
    "reply",
    [
        # An answer, whatever it tells of.
        "Error: 429 Too Many Requests\n<summary>the mirror refused the run</summary>",
        "You've hit your limit, it resets in 2 minutes\n<promise>WAITING</promise>",
        # Prose, logs and quotations of runs.
        "The run failed with 429 Too Many Requests; I will try again in 2 minutes.",
        "The log of the run ends so:\n\nError: 429 Too Many Requests, try again in 2 minutes\n",
        "run.log says:\n```\nError: 429 Too Many Requests, try again in 2 minutes\n```\n",
        "```\nYou've hit your limit, it resets in 2 minutes\n```",
        "> Error: 429 Too Many Requests, try again in 2 minutes\n\nThat is what it said.",
        "It wrote:\n\nYou've hit your limit, it resets in 2 minutes",
        "- 429 Too Many Requests\n- try again in 2 minutes",
        "    429 Too Many Requests, try again in 2 minutes",
        "429 errors of the dataset's host stopped the download, retry after 30 s.",
        "Error: the runs met a rate limit of the dataset's host (429)",
        "I would rather wait: rate limit problems pass.",
        "The host is overloaded and the connection was refused.",
        "Request timed out",
        "\n".join(f"step {n}: loss 0.429" for n in range(40)),
        "Error: 429 Too Many Requests\n" + "and so on\n" * 20,
        "Your credit balance is too low",
        "API Error: 401 bad key",
        "",
    ],
)
def test_reply_that_only_speaks_of_a_limit_is_a_reply(reply: str) -> None:
    assert found(reply) is None


@pytest.mark.parametrize(
    ("errors", "trouble", "seconds"),
    [
        ("Error: 429 Too Many Requests, try again in 2 minutes\n", RATE, 120),
        ("working...\n\x1b[31mERROR\x1b[0m: rate limit\nRetry-After: 120\n", RATE, 120),
        ("ERROR: exceeded retry limit, last status: 429 Too Many Requests\n", RATE, None),
        (
            'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    go()\n'
            "openai.RateLimitError: Error code: 429 - try again in 20s\n",
            RATE,
            20,
        ),
        (
            "Error: 429 Too Many Requests, retry after 30 s\n    at fetch (a.js:1:2)\n"
            "    at async main (a.js:3:4)\n    at b (c.js:1:1)\n    at d (e.js:1:1)\n"
            "    at f (g.js:1:1)\n\nNode.js v20.1.0\n",
            RATE,
            30,
        ),
        ("Error: connect ECONNREFUSED 127.0.0.1:443\n", NETWORK, None),
        ("httpx.ConnectError: [Errno 111] Connection refused\n", NETWORK, None),
        ("API Error: 529 overloaded\n", NETWORK, None),
        ("spinner 10%\rspinner 90%\rError: 429, try again in 5 s\nexiting\n", RATE, 5),
    ],
)
def test_trouble_on_stderr_of_a_failed_command(
    errors: str, trouble: Trouble, seconds: float | None
) -> None:
    told = found(errors=errors, code=1)
    assert told is not None and told.trouble is trouble
    assert told.pause_seconds == seconds


@pytest.mark.parametrize(
    "errors",
    [
        "KeyError: 'lr'\n",
        "ModuleNotFoundError: No module named 'websocket'\n",
        "Error: 429 Too Many Requests\n" + "then it went on\n" * 6,
        "  | run.log: 429 Too Many Requests\nexit\n",
        "> Error: 429 Too Many Requests\nexit\n",
        "WARN 429 Too Many Requests, asked again\nValueError: no plan\n",
        "Error: Your credit balance is too low\n",
        "",
    ],
)
def test_other_failures_stay_failures(errors: str) -> None:
    assert found(errors=errors, code=1) is None


def test_failed_command_may_tell_its_limit_at_the_end_of_stdout() -> None:
    told = found("Looking at it.\n\nError: 429 Too Many Requests, try again in 9 s\n", code=1)
    assert told is not None and (told.trouble, told.pause_seconds) == (RATE, 9)
    assert told.said_before == "Looking at it."
    assert found("Looking at it.\n\nError: 429 Too Many Requests\n", code=0) is None


def test_what_one_stream_leaves_out_the_other_tells() -> None:
    told = found("You've hit your limit, it resets in 2 minutes", "Error: 429\n", code=1)
    assert told is not None and (told.message, told.pause_seconds) == ("Error: 429", 120)
    assert told.said_before == ""


def test_warnings_on_stderr_of_an_answer_are_no_trouble() -> None:
    assert found("done", "Error: 429 Too Many Requests, asked again\n") is None
    assert found("<summary>x</summary>", "Error: 429 Too Many Requests\n", code=1) is None


def test_command_that_slept_over_its_limit_until_its_time_was_up() -> None:
    told = found(errors="429 Too Many Requests, retrying in 50 minutes\n", code=None)
    assert told is not None and told.trouble is RATE
    assert found(errors="429 Too Many Requests\nnow at work\n", code=None) is None
    assert found("half of it", "429 Too Many Requests\n", code=None) is None


def test_nothing_on_stdout_and_a_limit_on_stderr() -> None:
    told = found("\n", "Error: 429 Too Many Requests\n")
    assert told is not None and told.trouble is RATE


@given(reply=st.text(), errors=st.text(), code=st.none() | st.integers(0, 255))
def test_any_output_is_read(reply: str, errors: str, code: int | None) -> None:
    assert isinstance(found(reply, errors, code), PrintedTrouble | None)


def test_long_outputs_take_no_long_time() -> None:
    for piece in ("[[((", "2026-03-10 ", "you hit your ", "error: ", "\x1b[", "429\n\n"):
        found(piece * 50_000, piece * 50_000, 1)
