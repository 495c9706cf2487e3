"""What a reply's tags mean, however the agent has written them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.blocks.agents.base import REPLY_TAGS as NAMES
from wildloop.flows.protocol.tags import Memory, parse_reply

FRAGMENTS = [
    *[f"<{name}>" for name in NAMES],
    *[f"</{name}>" for name in NAMES],
    "<promise/>",
    "< PROMISE >",
    "```text example\n",
    "```yaml\n",
    "```\n",
    "~~~~\n",
    "DONE",
    "- [lesson] a\n",
    "\x00",
    "\ud800",
    "\r\n",
    "\N{LATIN SMALL LETTER LONG S}",
    " ",
    "\n",
    "<",
    ">",
]


def test_all_tags_are_read() -> None:
    tags = parse_reply(
        "Some words.\n"
        "<summary>\nFound a thing.\n</summary>\n"
        "<plan># Plan\n- [ ] [P1-T1] a</plan>\n"
        "<promise>WAITING</promise>\n"
        "<experiments>\n- goal: g\n  command: c\n</experiments>\n"
        '<evo_sweep>{"a": 1}</evo_sweep>\n'
        "<reflection>Went well.</reflection>\n"
        "<continue>yes</continue>\n"
        "<memories>\n- [lesson] one\n- [gotcha] two\n</memories>\n"
    )
    assert tags.summary == "Found a thing."
    assert tags.plan == "# Plan\n- [ ] [P1-T1] a"
    assert tags.promise == "WAITING"
    assert tags.experiments_raw == "- goal: g\n  command: c"
    assert tags.evo_sweep_raw == '{"a": 1}'
    assert tags.reflection == "Went well."
    assert tags.continue_session is True
    assert tags.memories == [Memory(tag="lesson", text="one"), Memory(tag="gotcha", text="two")]
    assert tags.faults == []
    assert not tags.is_empty


def test_last_occurrence_wins() -> None:
    tags = parse_reply("<promise>DONE</promise>\n<promise>WAITING</promise>")
    assert tags.promise == "WAITING"


def test_a_malformed_last_promise_is_no_promise() -> None:
    tags = parse_reply("<promise>DONE</promise><promise>soon</promise>")
    assert tags.promise is None
    assert tags.faults == ["<promise> takes DONE or WAITING, not 'soon'; it was ignored."]


@pytest.mark.parametrize(
    "text",
    [
        "<PROMISE>DONE</Promise>",
        "<promise >\r\n  DONE\r\n</promise >",
        '<promise kind="x" n=1>DONE</promise>',
        "< promise>DONE</ promise>",
        "```\n<promise>DONE</promise>\n```",
        "```xml\n<promise>DONE</promise>\n```",
        "<promise>\n```text\nDONE\n```\n</promise>",
        "<promise>done</promise>",
        "\ufeff<promise>DONE</promise>",
    ],
)
def test_ways_to_write_a_promise(text: str) -> None:
    tags = parse_reply(text)
    assert tags.promise == "DONE"
    assert tags.faults == []


@pytest.mark.parametrize(
    "fence",
    ["```text example", "``` example", "~~~Example", "````xml example", "  ```text,example"],
)
def test_quoted_examples_do_not_count(fence: str) -> None:
    marks = fence.strip()[: 4 if fence.startswith("````") else 3]
    quoted = f"{fence}\n<promise>DONE</promise>\n<summary>quoted</summary>\n{marks}\n"
    tags = parse_reply(quoted + "<summary>mine</summary>\n" + quoted)
    assert tags.promise is None
    assert tags.summary == "mine"


def test_an_example_inside_a_block_that_was_never_closed_does_not_count() -> None:
    text = "```yaml\na: 1\n\n```text example\n<promise>DONE</promise>\n```\n<summary>s</summary>"
    tags = parse_reply(text)
    assert (tags.promise, tags.summary) == (None, "s")


def test_an_example_that_is_not_closed_is_told() -> None:
    tags = parse_reply("```text example\n<summary>s</summary>")
    assert tags.is_empty
    assert any("was not closed" in fault for fault in tags.faults)


def test_an_example_inside_a_tag_stays_in_its_text() -> None:
    tags = parse_reply("<plan># P\n```text example\n<promise>DONE</promise>\n```\nend</plan>")
    assert tags.plan is not None
    assert "<promise>DONE</promise>" in tags.plan
    assert tags.promise is None


@pytest.mark.parametrize("info", ["yaml", "json", "markdown", ""])
def test_content_in_a_fence_is_unwrapped(info: str) -> None:
    tags = parse_reply(f"<experiments>\n```{info}\n- goal: g\n  command: c\n```\n</experiments>")
    assert tags.experiments_raw == "- goal: g\n  command: c"


def test_a_fence_inside_a_wrapped_plan_stays() -> None:
    inner = "# Plan\n```yaml\nlr: 1\n```\nend"
    assert parse_reply(f"<plan>\n```markdown\n{inner}\n```\n</plan>").plan == inner


def test_two_blocks_are_not_one() -> None:
    content = "```yaml\na: 1\n```\nand\n```yaml\nb: 2\n```"
    assert parse_reply(f"<experiments>{content}</experiments>").experiments_raw == content


def test_common_indentation_is_taken_off() -> None:
    tags = parse_reply("<experiments>\n    - goal: g\n      command: c\n  </experiments>")
    assert tags.experiments_raw == "- goal: g\n  command: c"


def test_an_unclosed_tag_swallows_nothing() -> None:
    tags = parse_reply(
        "<summary>begun\n<promise>WAITING</promise>\n<plan>cut\n<summary>whole</summary>"
    )
    assert tags.summary == "whole"
    assert tags.promise == "WAITING"
    assert tags.plan is None
    assert tags.faults == ["<plan> was not closed with </plan>, so it was ignored."]


def test_a_cut_off_last_tag_is_told_though_an_earlier_one_counts() -> None:
    tags = parse_reply("<promise>DONE</promise> <promise>WAIT")
    assert tags.promise == "DONE"
    assert tags.faults == ["<promise> was not closed with </promise>, so it was ignored."]


def test_a_closing_tag_alone_is_told() -> None:
    tags = parse_reply("<summary>s</summary> DONE</promise>")
    assert tags.promise is None
    assert tags.faults == ["</promise> has no <promise> before it, so it was ignored."]


def test_a_promise_inside_a_summary_is_text_and_told() -> None:
    tags = parse_reply("<summary>Waits. <promise>WAITING</promise></summary>")
    assert tags.promise is None
    assert tags.faults == [
        "<promise> stood inside <summary> and was taken as its text: put it outside."
    ]


def test_a_plan_may_speak_of_tags() -> None:
    tags = parse_reply("<plan>answer <promise>DONE</promise> at the end</plan>")
    assert tags.promise is None
    assert tags.faults == []


def test_continue_and_memories_count_inside_a_reflection() -> None:
    tags = parse_reply(
        "<reflection>Good.\n<continue>no</continue>\n<memories>- [lesson] l</memories></reflection>"
    )
    assert tags.continue_session is False
    assert tags.memories == [Memory(tag="lesson", text="l")]
    assert tags.reflection is not None
    assert tags.reflection.startswith("Good.")


@pytest.mark.parametrize("text", ["", "   \n", "just words", "<b>html</b>", "a < b > c", "\x00"])
def test_no_tags_at_all_is_told(text: str) -> None:
    tags = parse_reply(text)
    assert tags.is_empty
    assert tags.faults == [
        "The reply had no tags: end every reply with at least <summary>...</summary>."
    ]


@pytest.mark.parametrize(
    ("raw", "decision", "faulty"),
    [
        ("yes", True, False),
        (" No. ", False, False),
        ("TRUE", True, False),
        ("stop", False, False),
        ("perhaps", None, True),
        ("", None, True),
        ("yes, but", None, True),
    ],
)
def test_continue(raw: str, decision: bool | None, faulty: bool) -> None:
    tags = parse_reply(f"<continue>{raw}</continue>")
    assert tags.continue_session is decision
    assert bool(tags.faults) is faulty


@pytest.mark.parametrize("text", ["<promise></promise>", "<promise/>", "<promise />"])
def test_an_empty_promise_is_told(text: str) -> None:
    tags = parse_reply(text)
    assert tags.promise is None
    assert tags.faults == ["<promise> takes DONE or WAITING, not ''; it was ignored."]


def test_empty_summary_and_plan_are_told() -> None:
    tags = parse_reply("<summary> </summary><plan>\n</plan>")
    assert (tags.summary, tags.plan) == (None, None)
    assert tags.faults == ["<summary> was empty.", "<plan> was empty, so tasks.md stays as it is."]


def test_memory_lines() -> None:
    tags = parse_reply(
        "<memories>\n"
        "* [Lesson] one\n"
        "  goes on\n"
        "1. [context] two\n"
        "- **[gotcha]** three: a\n"
        "- [opinion] four\n"
        "no bullet\n"
        "</memories>"
    )
    assert tags.memories == [
        Memory(tag="lesson", text="one goes on"),
        Memory(tag="context", text="two"),
        Memory(tag="gotcha", text="three: a"),
    ]
    assert tags.faults == [
        "<memories> knows the tags lesson, preference, convention, gotcha, context, not 'opinion'.",
        "<memories> lines are '- [lesson] text', not 'no bullet'.",
    ]


@pytest.mark.parametrize("raw", ["", "none", "- None.", "(none)"])
def test_no_memories_are_no_fault(raw: str) -> None:
    tags = parse_reply(f"<memories>{raw}</memories>")
    assert tags.memories == []
    assert tags.faults == []


def test_many_faults_and_memories_are_cut() -> None:
    tags = parse_reply("<memories>" + "bad\n" * 1000 + "- [lesson] a\n" * 1000 + "</memories>")
    assert len(tags.memories) == 100
    assert len(tags.faults) < 10


def test_text_that_no_database_takes_is_mended() -> None:
    tags = parse_reply("<summary>a\x00b\ud800c \N{ROCKET} é</summary>")
    assert tags.summary == "a\ufffdb\ufffdc \N{ROCKET} é"


def test_too_long_contents_are_told() -> None:
    tags = parse_reply(f"<summary>{'x' * 30_000}</summary><plan>{'x' * 1_000_001}</plan>")
    assert tags.summary == "x" * 20_000
    assert tags.plan is None
    assert len(tags.faults) == 2


@pytest.mark.parametrize(
    "garbage",
    [
        "<summary>" * 100_000,
        "</summary>" * 100_000,
        "<summary><plan></summary>" * 50_000,
        "<" * 2_000_000,
        "< " * 1_000_000,
        "<" + " " * 2_000_000,
        "`" * 2_000_000,
        "```example\n" * 100_000,
        "<memories>" + "  x\n" * 100_000 + "</memories>",
        "<memories>- [lesson] a\n" + "  x\n" * 100_000 + "</memories>",
        "<summary>```\n" + " " * 1_000_000 + "x\n```</summary>",
        "<plan " + "a " * 1_000_000,
        "x" * 50_000_000,
    ],
    ids=range(13),
)
def test_large_garbage_is_read_and_what_follows_counts(garbage: str) -> None:
    """Quadratic work on any of these would run into the suite's time-out."""
    tags = parse_reply(garbage + "\n<promise>DONE</promise>")
    assert tags.promise == "DONE" or "example" in garbage


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join))
def test_no_mixture_of_tags_raises(text: str) -> None:
    tags = parse_reply(text)
    assert all(fault.strip() for fault in tags.faults)
    tags.model_dump_json()


@given(st.text(st.characters(exclude_categories=())))
def test_no_string_raises(text: str) -> None:
    for reply in (text, f"<plan>{text}</plan>", f"<memories>{text}</memories>"):
        parse_reply(reply).model_dump_json()


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ('<change kind="architecture">wider</change>', "architecture", "wider"),
        ("<change kind='hyper parameters' >lr\n to 0.3</change>", "hyper-parameter", "lr to 0.3"),
        ("<Change Kind=Optimizer>sgd: momentum</Change>", "optimiser", "sgd: momentum"),
        ("<change>data: flips</change>", "data", "flips"),
        ("<change>none</change>", "none", ""),
        ('<change kind="none"/>', "none", ""),
    ],
)
def test_change_is_read_in_its_spellings(text: str, kind: str, said: str) -> None:
    tags = parse_reply(f"<summary>s</summary>{text}")
    assert tags.change is not None
    assert (tags.change.kind.value, tags.change.text, tags.faults) == (kind, said, [])


@pytest.mark.parametrize(
    "text", ['<change kind="fun">x</change>', "<change>x</change>", "<change></change>"]
)
def test_an_unknown_kind_of_change_is_told(text: str) -> None:
    tags = parse_reply(f"<summary>s</summary>{text}")
    assert tags.change is None
    assert "takes one of hyper-parameter, architecture" in tags.faults[0]


QUOTED_PLAN = "<plan>\n## Phase 1 - Ground\n- [ ] [P1-T1] short | deliverable: a\n</plan>"
EXPERIMENTS = "<experiments>\n- goal: g\n  command: c\n</experiments>"
END = "\n<summary>mine</summary>\n"


@pytest.mark.parametrize(
    ("quotation", "name"),
    [
        ("Nothing has to change, so I leave out the `<plan>...</plan>` tag.\n", "plan"),
        ("``<promise>DONE</promise>`` would be a lie.\n", "promise"),
        ("`<promise>DONE</promise>`\n", "promise"),
        ("```<promise>DONE</promise>```\n", "promise"),
        ("I could answer <promise>WAITING</promise> but nothing runs.\n", "promise"),
        ("<promise>WAITING</promise> is no answer here.\n", "promise"),
        ("No answer here is <promise>WAITING</promise>\n", "promise"),
        ('"<promise>DONE</promise>"\n', "promise"),
        ("> <promise>DONE</promise>\n", "promise"),
        ("> <plan>\n> # P\n> </plan>\n", "plan"),
        (f"Replace it:\n\n```markdown\n{QUOTED_PLAN}\n```\n\nor keep it. I keep it.\n", "plan"),
        (f"Replace it:\n\n```\n{QUOTED_PLAN}\n```\nor keep it. I keep it.\n", "plan"),
        (f"Replace it:\n\n{QUOTED_PLAN}\n\nor keep it. I keep it.\n", "plan"),
        (f"An example, not meant to run:\n\n```yaml\n{EXPERIMENTS}\n```\n\nSo.\n", "experiments"),
        (f"An example, not meant to run:\n\n{EXPERIMENTS}\n\nSo much for that.\n", "experiments"),
        (f"The log:\n```\nit said\n{EXPERIMENTS}\nand ended\n```\n", "experiments"),
        (f"~~~\n{EXPERIMENTS}\n~~~\nThat is all of it.\n", "experiments"),
        ("If I said\n<continue>no</continue>\nit would end.\n", "continue"),
        ("They write\n\n<memories>- [lesson] a</memories>\n\nfor that.\n", "memories"),
    ],
)
def test_quotation_is_ignored_and_named(quotation: str, name: str) -> None:
    tags = parse_reply(quotation + END)
    assert tags.summary == "mine"
    assert (tags.plan, tags.promise, tags.experiments_raw) == (None, None, None)
    assert (tags.continue_session, tags.memories, tags.faults) == (None, [], [])
    (told,) = tags.quoted
    assert told.startswith(f"<{name}> stood in ") and "a quotation and ignored" in told


@pytest.mark.parametrize(
    "reply",
    [
        f"Words before.\n\n{EXPERIMENTS}\n<promise>WAITING</promise>{END}",
        f"Words before.\n```\n{EXPERIMENTS}\n<promise>WAITING</promise>{END}```\n",
        f"```yaml\n{EXPERIMENTS}\n```\n\n```\n<promise>WAITING</promise>\n```\n{END}",
        f"{END}\n## Experiments\n\n{EXPERIMENTS}\n\n---\n\n**Promise:** <promise>WAITING</promise>",
        f"{END}Two runs:\n{EXPERIMENTS}\nPromise:\n\n<promise>WAITING</promise>\nUntil then!\n",
        f"{END}\nThis compares two rates.\n{EXPERIMENTS}<promise>WAITING</promise>",
        f"- <summary>mine</summary>\n- <promise>WAITING</promise>\n- {EXPERIMENTS}",
        f"Uses ` once.\n{EXPERIMENTS}<promise>WAITING</promise>{END}",
        f"```python\nx = 1\n```\n{EXPERIMENTS}\n<promise>WAITING</promise>{END}",
        f"```\nnever closed\n\n{EXPERIMENTS}\n<promise>WAITING</promise>{END}",
        f"```markdown\nAll of it in a fence.\n\n{EXPERIMENTS}\n<promise>WAITING</promise>{END}```",
        f"{EXPERIMENTS}\n<promise>WAITING</promise>{END}\nLet me know what you think.",
        f'{{"id": "ab", "status": "queued"}}{EXPERIMENTS}\n<promise>WAITING</promise>{END}',
        f"\x1b[1m{EXPERIMENTS}\x1b[0m\n\x1b[32m<promise>\x1b[1mWAITING</promise>\x1b[0m{END}",
    ],
    ids=range(14),
)
def test_answer_at_the_end_of_the_reply_counts(reply: str) -> None:
    tags = parse_reply(reply)
    assert (tags.summary, tags.promise) == ("mine", "WAITING")
    assert tags.experiments_raw == "- goal: g\n  command: c"
    assert (tags.faults, tags.quoted) == ([], [])


@pytest.mark.parametrize(
    "promise",
    [
        "\x1b[32m<promise>DONE</promise>\x1b[0m",
        "<promise>\x1b[1;32mDONE\x1b[0m</promise>",
        "\x1b]0;title\x07<promise>DONE</promise>\x1b[K",
    ],
)
def test_terminal_colours_change_nothing(promise: str) -> None:
    tags = parse_reply(f"<summary>s</summary>\n{promise}\n")
    assert (tags.promise, tags.faults, tags.quoted) == ("DONE", [], [])


def test_a_quotation_does_not_hide_the_answer() -> None:
    tags = parse_reply(
        f"Not `<promise>DONE</promise>`.\n{EXPERIMENTS.replace('c', 'x')}\nrather:\n"
        "<summary>It ends in `</summary>`.\n> so it said</summary>\n<promise>WAITING</promise>"
    )
    assert (tags.promise, tags.experiments_raw) == ("WAITING", None)
    assert tags.summary == "It ends in `</summary>`.\n> so it said"
    assert [told.split(" stood ")[0] for told in tags.quoted] == ["<promise>", "<experiments>"]


def test_a_promise_far_from_the_end_is_a_quotation() -> None:
    tags = parse_reply(f"<summary>s</summary>\n<promise>DONE</promise>\n\n{'Words. ' * 200}")
    assert (tags.promise, tags.summary) == (None, "s")
    assert "in the middle of the text" in tags.quoted[0]


@pytest.mark.parametrize(
    "garbage",
    [
        "`" * 1_000_001 + " ` " * 300_000,
        "<plan>a</plan> " * 60_000,
        "<plan>a</plan>\n\nb\n\n" * 60_000,
        "```\n<plan>a</plan>\n```\nb\n" * 60_000,
        "> <plan>\n> </plan>\n" * 60_000,
        "`<plan>` `</plan>`\n" * 60_000,
        "<plan>a</plan>" + " " * 1_000_000 + "x",
        "\x1b[" * 500_000,
    ],
    ids=range(8),
)
def test_large_quotations_are_read(garbage: str) -> None:
    """Quadratic work on any of these would run into the suite's time-out."""
    assert parse_reply(f"{garbage}\nwords\n\n<promise>DONE</promise>").promise == "DONE"


def test_a_waiting_promise_may_say_when_to_be_called() -> None:
    tags = parse_reply('<summary>s</summary>\n<promise wake="first">WAITING</promise>\n')
    assert (tags.promise, tags.wake, tags.faults) == ("WAITING", "first", [])
    tags = parse_reply("<summary>s</summary>\n<promise wake='failed'>WAITING</promise>\n")
    assert tags.wake == "failed"
    tags = parse_reply('<summary>s</summary>\n<promise wake="soon">WAITING</promise>\n')
    assert (tags.promise, tags.wake) == ("WAITING", None)
    assert tags.faults == [
        "<promise wake=\"...\"> takes one of all, first, failed, not 'soon'; it was ignored."
    ]
    assert parse_reply("<promise>WAITING</promise>").wake is None


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("iteration-03", "iteration-03"),
        (" `3f2a9c1` \n", "3f2a9c1"),
        ("iteration  3", "iteration 3"),
    ],
)
def test_where_the_next_iteration_is_to_begin(said: str, read: str) -> None:
    tags = parse_reply(f"<summary>s</summary>\n<start_from>{said}</start_from>\n")
    assert (tags.start_from, tags.faults) == (read, [])


def test_an_empty_beginning_is_told() -> None:
    tags = parse_reply("<summary>s</summary>\n<start_from> </start_from>\n")
    assert tags.start_from is None
    assert tags.faults == [
        "<start_from> was empty; it takes the id or the commit of a node, or best."
    ]
