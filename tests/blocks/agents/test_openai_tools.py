"""The tools of the loop, and how the conversation is kept short."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pace import patient
from wildloop.blocks.agents.tool_loop.files import Files
from wildloop.blocks.agents.tool_loop.history import LEFT_OUT, History, PromptTooLong
from wildloop.blocks.agents.tool_loop.in_text import fenced_call, marked_call, without_thoughts
from wildloop.blocks.agents.tool_loop.messages import Call, Kind, Message
from wildloop.blocks.agents.tool_loop.output import Tail, cut_middle
from wildloop.blocks.agents.tool_loop.settings import (
    SECONDS,
    SETTINGS,
    STARTED,
    Clock,
    LoopSettings,
    Secrets,
    take_environment,
    to_environment,
)
from wildloop.blocks.agents.tool_loop.shell import Shell
from wildloop.blocks.agents.tool_loop.tools import Repeats, ToolResult, Tools, offered

OUTPUT = 2_000


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "a projekt ü"
    folder.mkdir()
    return folder


@pytest.fixture
def tools(project: Path) -> Iterator[Tools]:
    with Shell(project, os.environ, OUTPUT, Clock.start(60.0)) as shell:
        yield Tools(shell, Files(project, False, OUTPUT), 30.0)


def use(tools: Tools, name: str, **arguments: object) -> str:
    return tools.run(Call("c", name, json.dumps(arguments))).text


def test_folder_is_kept_between_commands_and_variables_are_not(tools: Tools, project: Path) -> None:
    (project / "sub dir").mkdir()
    assert use(tools, "bash", command="cd 'sub dir'; X=1") == (
        f"[no output]\n[now in {project / 'sub dir'}]"
    )
    assert use(tools, "bash", command="pwd; echo $X") == str(project / "sub dir")
    use(tools, "write_file", path="here.txt", content="x")
    assert (project / "sub dir" / "here.txt").exists()


def test_folder_that_is_gone_gives_way_to_the_project(tools: Tools, project: Path) -> None:
    use(tools, "bash", command="mkdir gone; cd gone; rmdir ../gone")
    assert use(tools, "bash", command="pwd") == str(project)
    use(tools, "bash", command="mkdir later; cd later")
    (project / "later").rmdir()
    assert use(tools, "bash", command="pwd").startswith(str(project))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("echo out; echo err >&2; exit 3", "out\nerr\n[exit code 3]"),
        ("printf '\\xff\\xfe'", "\ufffd\ufffd"),
        ("cat", "[no output]"),
        ("kill -9 $$", "[no output]\n[exit code -9]"),
        ("cat <<'X'\n$a 'b'\nX", "$a 'b'"),
    ],
)
def test_commands_tell_output_and_exit_code(tools: Tools, command: str, expected: str) -> None:
    assert use(tools, "bash", command=command) == expected


def test_broken_syntax_is_told(tools: Tools) -> None:
    assert "syntax error" in use(tools, "bash", command="if then")


def test_flood_of_output_is_cut_in_the_middle(tools: Tools) -> None:
    text = use(tools, "bash", command="echo BEGIN; yes | head -c 30000000; echo END")
    assert text.startswith("BEGIN\n") and text.endswith("END")
    assert "characters left out ..." in text and len(text) < OUTPUT + 100


def test_time_limit_of_a_command(tools: Tools) -> None:
    command, seconds = "echo begun; trap '' TERM; sleep 600", patient(0.5)
    text = use(tools, "bash", command=command, timeout_seconds=seconds)
    assert text.startswith("begun\n[ended after") and "exit code" not in text


@pytest.mark.parametrize("path", ["../out.txt", "/etc/hostname", "link/out.txt", "", "a\0b"])
def test_files_outside_the_project_are_refused(tools: Tools, project: Path, path: str) -> None:
    (project / "link").symlink_to(project.parent)
    for name, rest in (
        ("write_file", {"content": "x"}),
        ("read_file", {}),
        ("edit_file", {"old_text": "a", "new_text": "b"}),
    ):
        assert "outside the project" in (text := use(tools, name, path=path, **rest)) or (
            "empty or holds a NUL" in text
        )
    assert not (project.parent / "out.txt").exists()


def test_files_outside_the_project_when_told_so(tools: Tools, project: Path) -> None:
    files = Files(project, True, OUTPUT)
    files.write("../out.txt", "x", project)
    assert files.read(str(project.parent / "out.txt"), project) == "     1\tx"


def test_reading_numbers_lines_and_goes_on(tools: Tools, project: Path) -> None:
    (project / "f").write_text("one\ntwo\nthree\n")
    assert use(tools, "read_file", path="f", limit=2) == (
        "     1\tone\n     2\ttwo\n[more follows: go on with offset 3]"
    )
    assert use(tools, "read_file", path="f", offset=3) == "     3\tthree"
    assert "ends before line 9" in use(tools, "read_file", path="f", offset=9)
    assert "from 1 on" in use(tools, "read_file", path="f", offset=0)


def test_what_cannot_be_read_is_told(tools: Tools, project: Path) -> None:
    (project / "bin").write_bytes(b"\0\1")
    (project / "empty").touch()
    os.mkfifo(project / "fifo")
    assert "is no text" in use(tools, "read_file", path="bin")
    assert "is empty" in use(tools, "read_file", path="empty")
    assert "is a folder" in use(tools, "read_file", path=".")
    assert "does not exist" in use(tools, "read_file", path="none")
    assert "no regular file" in use(tools, "read_file", path="fifo")
    assert "File name too long" in use(tools, "read_file", path="x" * 300)


def test_editing_keeps_line_ends_and_permissions(tools: Tools, project: Path) -> None:
    place = project / "run.sh"
    place.write_bytes(b"a\r\nb\r\nc\r\n")
    place.chmod(0o750)
    use(tools, "edit_file", path="run.sh", old_text="a\nb", new_text="x\ny")
    assert place.read_bytes() == b"x\r\ny\r\nc\r\n"
    assert place.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("zz", "y", "does not occur"),
        ("a", "y", "occurs 2 times"),
        ("", "y", "is empty"),
        ("a", "a", "the same"),
    ],
)
def test_edit_that_is_not_clear_changes_nothing(
    tools: Tools, project: Path, old: str, new: str, said: str
) -> None:
    (project / "f").write_text("a a")
    assert said in use(tools, "edit_file", path="f", old_text=old, new_text=new)
    assert (project / "f").read_text() == "a a"


def test_edit_of_all_occurrences(tools: Tools, project: Path) -> None:
    (project / "f").write_text("a a")
    use(tools, "edit_file", path="f", old_text="a", new_text="b", replace_all=True)
    assert (project / "f").read_text() == "b b"


def test_writing_makes_folders_and_leaves_no_other_file(tools: Tools, project: Path) -> None:
    assert use(tools, "write_file", path="x/y/f.py", content="ü\n").startswith("wrote 3 bytes")
    assert [path.name for path in (project / "x/y").iterdir()] == ["f.py"]
    assert "is no file" in use(tools, "write_file", path="x", content="")


def test_folder_without_permission_is_told(tools: Tools) -> None:
    files = Files(Path("/"), True, OUTPUT)
    text = Tools(tools.shell, files, 1.0).run(
        Call("c", "write_file", json.dumps({"path": "/proc/nope/x", "content": ""}))
    )
    assert text.text.startswith("error:")


def test_line_feeds_in_arguments_are_understood(tools: Tools) -> None:
    assert tools.run(Call("c", "bash", '{"command": "echo a\necho b"}')).text == "a\nb"


def test_every_tool_explains_its_arguments() -> None:
    for tool in offered():
        function = tool["function"]
        assert function["description"]
        for name, field in function["parameters"]["properties"].items():
            assert field["type"] and field["description"], name


def test_repetition_is_noticed_only_while_nothing_changes() -> None:
    repeats, call = Repeats(), Call("c", "bash", "{}")
    for number in range(2 * Repeats.LIMIT):
        result = repeats.note(call, ToolResult(str(number)))
        assert result.text == str(number)
    assert not repeats.is_stuck
    texts = [repeats.note(call, ToolResult("same")).text for _ in range(Repeats.LIMIT)]
    assert texts[1] == "same" and "3 times of late" in texts[2]
    assert repeats.is_stuck


def test_round_of_two_calls_that_goes_on_is_noticed() -> None:
    repeats, calls = Repeats(), [Call("c", "bash", "1"), Call("c", "bash", "2")]
    for _ in range(Repeats.LIMIT):
        assert not repeats.is_stuck
        for call in calls:
            repeats.note(call, ToolResult("same"))
    assert repeats.is_stuck


@given(st.lists(st.text("abc", max_size=50)), st.integers(2, 60))
def test_tail_keeps_both_ends_and_counts_the_rest(pieces: list[str], limit: int) -> None:
    tail, whole = Tail(limit), "".join(pieces)
    for piece in pieces:
        tail.add(piece.encode())
    head, cut, rest = tail.text(10**6).partition("\n[... ")
    if not cut:
        assert head == whole
        return
    hole, _, end = rest.partition(" characters left out ...]\n")
    assert whole.startswith(head) and whole.endswith(end)
    assert len(head) + int(hole) + len(end) == len(whole)
    assert min(len(head), len(end)) >= limit // 2 - 1


def test_cut_says_how_much_is_gone() -> None:
    assert cut_middle("abcdefghij", 4) == "ab\n[... 6 characters left out ...]\nij"
    assert cut_middle("abcd", 4) == "abcd"


@pytest.mark.parametrize(
    ("text", "command", "others"),
    [
        ("```bash\nls\n```", "ls", 0),
        ("a\n```sh\nls\npwd\n```\nb\n```bash\nrm x\n```", "ls\npwd", 1),
        ("<plan>\n```bash\nrm x\n```\n</plan>", None, 0),
        ("```python\nprint()\n```", None, 0),
        ("```bash\n\n```", None, 0),
        ("```bash\nls", None, 0),
    ],
)
def test_fenced_commands(text: str, command: str | None, others: int) -> None:
    found = fenced_call(text)
    if command is None:
        assert found is None
    else:
        assert found is not None and found.others == others
        assert json.loads(found.call.arguments) == {"command": command}


def test_final_message_is_not_run_where_tools_are_offered() -> None:
    block = "```bash\nls\n```"
    assert fenced_call(f"{block}\n<summary>x</summary>", strict=True) is None
    assert fenced_call(block, strict=True) is not None


@pytest.mark.parametrize(
    "text", ["<tool_call>{bad}</tool_call>", '<tool_call>{"x": 1}</tool_call>']
)
def test_written_out_call_that_is_none(text: str) -> None:
    assert marked_call(text) is None


def test_thinking_is_left_out_only_at_the_beginning() -> None:
    assert without_thoughts("<think>a</think>\n b <think>c</think>") == "b <think>c</think>"
    assert without_thoughts("<think>no end") == "<think>no end"


def exchange(number: int, size: int) -> list[Message]:
    call = Call(f"c{number}", "bash", json.dumps({"command": "x" * 50}))
    output = f"{number}:" + "o" * size
    return [
        Message(Kind.ANSWER, f"answer {number}", (call,)),
        Message(Kind.OUTPUT, output, call_id=call.id),
    ]


def history(tokens: int) -> History:
    return History([Message(Kind.SYSTEM, "s"), Message(Kind.PROMPT, "p")], tokens, 0)


def test_short_conversation_is_left_alone() -> None:
    found = history(1_000)
    found.add(*exchange(1, 100))
    assert found.fit() is None and len(found.messages) == 4


def test_old_outputs_go_first_and_the_newest_stays_whole() -> None:
    found = history(2_000)
    for number in range(5):
        found.add(*exchange(number, 1_800))
    assert "old outputs" in (found.fit() or "")
    outputs = [message.text for message in found.messages if message.kind is Kind.OUTPUT]
    assert "left out" in outputs[0] and outputs[-1] == "4:" + "o" * 1_800
    assert found.fit() is None


@given(st.lists(st.integers(0, 6_000), max_size=40), st.integers(700, 4_000))
def test_conversation_always_fits_and_every_output_has_its_call(
    sizes: list[int], tokens: int
) -> None:
    found = history(tokens)
    for number, size in enumerate(sizes):
        found.add(*exchange(number, size))
        found.fit()
        assert found.characters <= tokens * 3.5
    asked = {call.id for message in found.messages for call in message.calls}
    assert asked == {message.call_id for message in found.messages if message.call_id}
    assert found.messages[0].text == "s" and found.messages[1].text.startswith("p")


def test_oldest_steps_are_left_out_at_last_and_it_is_said_once() -> None:
    found = history(1_000)
    for number in range(200):
        found.add(*exchange(number, 100))
        found.fit()
    assert found.messages[1].text == f"p\n\n{LEFT_OUT}"
    assert "answer 199" in [message.text for message in found.messages]


def test_prompt_that_does_not_fit_is_refused() -> None:
    found = History([Message(Kind.PROMPT, "p" * 10_000)], 1_000, 0)
    with pytest.raises(PromptTooLong, match="context_tokens"):
        found.fit()


def test_server_that_counts_more_tokens_gets_shorter_conversations() -> None:
    found = history(10_000)
    found.add(*exchange(1, 20_000), *exchange(2, 100))
    assert found.fit() is None
    found.learn(20_000, 15_000)
    assert found.fit() is not None


def test_settings_and_secrets_reach_the_loop_and_leave_the_environment() -> None:
    settings = LoopSettings(base_url="http://x/v1", model="m", temperature=0.5)
    secrets = Secrets("the-key", {"X-One": "1", "X-Two": "2"})
    environ = to_environment(settings, secrets) | {"OPENAI_API_KEY": "other", "HOME": "/h"}
    assert "the-key" not in environ[SETTINGS]
    found, taken, clock = take_environment(environ)
    assert found.model_copy(update={"header_names": []}) == settings
    assert (taken.api_key, dict(taken.headers)) == ("the-key", {"X-One": "1", "X-Two": "2"})
    assert environ == {"HOME": "/h"} and clock.left() > 10**6


@pytest.mark.parametrize("form", ["{:.6f}", ""])
def test_time_of_the_call_counts_from_the_start_of_its_process(form: str) -> None:
    environ = to_environment(LoopSettings(base_url="http://x", model="m"), Secrets(None, {}))
    environ |= {SECONDS: "1000", STARTED: form.format(time.time() - 400).replace(".", ",")}
    _, _, clock = take_environment(environ)
    assert clock.left() == pytest.approx(600 if form else 1000, abs=30)
    assert clock.left_for_work() == pytest.approx(clock.left() - 60, abs=1)


@pytest.mark.parametrize(
    ("environ", "error"),
    [({}, KeyError), ({SETTINGS: "{}"}, ValueError), ({SETTINGS: "{"}, ValueError)],
)
def test_loop_without_settings_does_not_start(
    environ: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        take_environment(environ)
