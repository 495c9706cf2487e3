"""What the Prefect page of an agent's call tells."""

from pathlib import Path
from typing import Any, cast

from tests.support.records import made_record, made_run
from wildloop.blocks.agents.base import AgentReply
from wildloop.flows.files.paths import SessionPaths, make_ignored
from wildloop.flows.loop.artifact import call_text
from wildloop.flows.models.history import Difference
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import SessionRecord
from wildloop.flows.protocol.tags import parse_reply
from wildloop.flows.session.position import Position
from wildloop.flows.turn.transcripts import write_transcript
from wildloop.flows.turn.turn import Turn

REPLY = "<summary>wider layer</summary>\n<promise>WAITING</promise>"
PROMPT = "A guide that is long.\n" * 400 + "Your task: widen the layer."


def told(tmp_path: Path, activity: str, **fields: Any) -> str:
    paths = SessionPaths.of(tmp_path, "s")
    make_ignored(paths.activity.parent)
    paths.activity.write_text(activity)
    reply = AgentReply(text=REPLY, exit_reason="finished")
    record = made_record(3, summary="wider layer", promise="WAITING", **fields)
    record.prompt_characters, record.prompt_tokens = len(PROMPT), {"guide": 2000}
    record.transcript = str(write_transcript(paths, record, PROMPT, reply))
    turn = Turn(record=record, reply=reply, tags=parse_reply(REPLY), steer_keys=[])
    spec = SessionSpec(goal="raise the score", workdir=str(tmp_path))
    position = Position(cast(Any, None), spec, SessionRecord(session_id="s"))
    changed = Difference(command="git diff a b", stat=" train.py | 2 +-", diff="-old\n+new\n" * 900)
    return call_text(position, turn, [made_run(1, 0.5)], changed)


def test_page_tells_prompt_deeds_reply_change_runs_and_cost(tmp_path: Path) -> None:
    lines = ["iteration-02 | Bash: ls", "iteration-03 | Bash: python train.py", "iteration-03 | "]
    activity = "".join(f"2026-01-01 10:00:00 {line}\n" for line in lines)
    activity += f"2026-01-01 10:00:01 iteration-03 | {REPLY.splitlines()[0]}\n"
    text = told(
        tmp_path, activity, cost_usd=0.25, faults=["too many tasks"], exit_reason="finished"
    )
    for said in (
        "**iteration-03**: the agent finished",
        "| **cost** | $0.2500 |",
        "| **promise** | WAITING |",
        "| run-1 | finished | `python train.py` |",
        "10:00:00 Bash: python train.py",
        "`git diff a b`",
        "-old\n+new",
        "Your task: widen the layer.",
        "- too many tasks",
        "transcripts/iteration-03.md",
    ):
        assert said in text, said
    # Another call's deeds are not its own, and the reply is told once.
    assert "Bash: ls" not in text and text.count("<summary>wider layer</summary>") == 1
    assert len(text) < 8000


def test_page_of_a_busy_agent_stays_small(tmp_path: Path) -> None:
    line = f"2026-01-01 10:00:00 iteration-03 | Edit: {'x' * 280}\n"
    text = told(tmp_path, line * 5000, faults=[])
    assert "lines before)" in text and len(text) < 15_000
