"""What the Prefect page of an agent's call tells: prompt, deeds, reply, change, runs, cost."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from prefect.logging import get_run_logger
from prefect.runtime import flow_run as runtime

from wildloop.flows.git.history import difference
from wildloop.flows.keep.texts import log_entry
from wildloop.flows.loop.work import Work
from wildloop.flows.models.history import Difference
from wildloop.flows.models.keep import Verdict
from wildloop.flows.models.run import Run
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.session.log import prompt_text, usage_text
from wildloop.flows.session.position import Position
from wildloop.flows.store import artifacts
from wildloop.flows.store.base import flow_run_url
from wildloop.flows.text.markdown import block, code, facts, head, link, page, section, table
from wildloop.flows.text.redaction import Redactor
from wildloop.flows.text.shortened import shortened
from wildloop.flows.turn.transcripts import prompt_of
from wildloop.flows.turn.turn import Turn

DEEDS, RUNS = 30, 40
DEED_LENGTH, COMMAND_LENGTH = 160, 100
ACTIVITY_BYTES = 512 * 1024
REPLY, PROMPT_END, DIFF, STAT = 2500, 1000, 2500, 1500
DESCRIBED = 200


def step_id() -> UUID | None:
    """The flow run of the step that runs here; None outside of one."""
    return UUID(str(runtime.id)) if runtime.id else None


async def attach_call(work: Work, turn: Turn, runs: Sequence[Run]) -> None:
    """Write the artifact of a call that has ended; a fault of it is logged, and ends nothing.

    Args:
        work: the session.
        turn: the call.
        runs: all runs of the session.
    """
    flow_run_id, logger, record = step_id(), get_run_logger(), turn.record
    if flow_run_id is None:
        return
    try:
        changed = await difference(work.position.workdir, [record]) if record.commit else None
        mine = [run for run in runs if run.id in record.run_ids]
        redactor = Redactor.of(os.environ, *work.caller().tokens)
        text = await asyncio.to_thread(lambda: call_text(work.position, turn, mine, changed))
        said = record.summary or record.error or record.exit_reason
        title = f"{record.label}: {said}"[:DESCRIBED]
        await artifacts.attach(
            work.client, flow_run_id, text=redactor(text), description=redactor(title)
        )
    except Exception:
        logger.exception("%s: its artifact was not written", record.label)


async def attach_verdict(position: Position, verdict: Verdict) -> None:
    """Write what was decided about an iteration on the page of its last call, once."""
    calls = [call for call in position.record.iterations if call.label == verdict.label]
    flow_run_id, logger = (calls[-1].flow_run_id if calls else None), get_run_logger()
    if flow_run_id is None:
        return
    try:
        where, what = UUID(flow_run_id), f"{verdict.label}: {verdict.status.value}: {verdict.why}"
        text, title = log_entry(verdict), what[:DESCRIBED]
        # Whoever takes the session up after a crash comes here again.
        await artifacts.attach(position.client, where, text=text, description=title, again=True)
    except Exception:
        logger.exception("%s: its decision was not written to its page", verdict.label)


def call_text(
    position: Position, turn: Turn, runs: Sequence[Run], changed: Difference | None
) -> str:
    """The artifact's text; reads the session's files."""
    record, reply = turn.record, turn.reply.text.strip()
    return page(
        _standing(record),
        facts(_facts(position, record)),
        section("What it says", record.summary, record.reflection),
        section("Runs created", _runs(runs), _more(len(runs) - RUNS, "runs")),
        section("What the agent did", block("\n".join(_deeds(position.paths.activity, turn)))),
        section("What it changed", *_changed(changed)),
        section("Reply", block(head(reply, REPLY))),
        section("Told to the next call", _listed([*record.faults, *record.troubles])),
        section("Prompt", *_prompt(record)),
    )


def _standing(record: IterationRecord) -> str:
    seconds = (record.finished_at or record.started_at) - record.started_at
    said = f"**{record.label}**: the agent {record.exit_reason or 'ran'} after {seconds:.1f} s"
    return said + (f": {record.error}" if record.error else "")


def _facts(position: Position, record: IterationRecord) -> list[tuple[str, str]]:
    decided = {True: "continue", False: "stop", None: ""}[record.continue_session]
    commit = code((record.commit or "")[:12])
    shown = code(f"git show {record.tag}") if record.tag else ""
    change = f"{record.change.kind.value}: {record.change.text}" if record.change else ""
    return [
        ("session", link(position.spec.goal[:DESCRIBED], flow_run_url(position.id))),
        ("why", record.why),
        ("promise", record.promise or ""),
        ("decision", decided),
        ("change", change),
        ("commit", ", ".join(filter(None, [commit, shown]))),
        ("cost", usage_text(record)),
        ("tasks closed", str(record.tasks_closed or "")),
        ("steered", "; ".join(record.steered)),
        ("flagged", "; ".join(record.flags)),
        ("signs of struggle", "; ".join(record.signs)),
        ("transcript", code(record.transcript or "")),
        ("events", code(record.events or "")),
    ]


def _runs(runs: Sequence[Run]) -> str:
    rows = [
        [
            link(run.name, flow_run_url(run.id)),
            run.status.value,
            code(shortened(run.command, COMMAND_LENGTH)),
        ]
        for run in runs[:RUNS]
    ]
    return table(["run", "as the call ended", "command"], rows)


def _more(number: int, what: str) -> str:
    return f"... and {number} more {what}" if number > 0 else ""


def _deeds(activity: Path, turn: Turn) -> list[str]:
    """The last lines of what the agent was seen to do, without those of the reply itself."""
    mark, reply = f" {turn.record.label} | ", turn.reply.text
    begun = f"call {turn.record.label}."
    found = []
    for line in _tail(activity).splitlines():
        at, _, text = line.partition(mark)
        if text and text not in reply and " | " not in at and not text.startswith(begun):
            found.append(f"{at[11:]} {text[:DEED_LENGTH]}")
    left_out = len(found) - DEEDS
    return ([f"({left_out} lines before)"] if left_out > 0 else []) + found[-DEEDS:]


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - ACTIVITY_BYTES))
            return file.read(ACTIVITY_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _changed(found: Difference | None) -> list[str]:
    if found is None:
        return []
    if not found.diff:
        return [found.note]
    return [
        code(found.command or ""),
        block(head(found.stat, STAT)),
        block(head(found.diff, DIFF), "diff"),
    ]


def _prompt(record: IterationRecord) -> list[str]:
    whole = prompt_of(record)
    if whole is None:
        return []
    told = f"{prompt_text(record)}; whole in the transcript. It ends:"
    end = whole.strip()[-PROMPT_END:]
    return [told, block(end if len(whole.strip()) <= PROMPT_END else f"...{end}")]


def _listed(texts: Sequence[str]) -> str:
    return "\n".join(f"- {' '.join(text.split())}" for text in texts)
