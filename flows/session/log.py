"""The iteration log, and where a session stands, as a person reads it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from wildloop.flows.keep.texts import log_entry
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import IterationRecord, LogEntry, SessionSummary
from wildloop.flows.store.position import LOG_KEY
from wildloop.flows.text.markdown import code, link

PARTS = 4


def position_markdown(
    spec: SessionSpec,
    summary: SessionSummary,
    log: Path,
    plan: str = "",
    links: Mapping[str, str | None] | None = None,
) -> str:
    """Where a session stands, as a person reads it.

    Args:
        spec: what it was asked to do.
        summary: where it stands.
        log: iteration_log.md.
        plan: its progress by phase, in Markdown.
        links: where the Prefect UI shows what it keeps, by kind.
    """
    totals, shown = summary.totals, summary.shown
    lines = [f"**Goal**: {spec.goal}", "", f"- phase: {summary.phase.value}"]
    lines.append(f"- iteration: {totals.last_index}, {totals.calls} calls of the agent")
    if summary.in_progress is not None:
        lines.append(f"- under way: {summary.in_progress}")
    if summary.note:
        lines.append(f"- note: {summary.note}")
    if shown is not None:
        lines.append(f"- result so far: {shown.headline}")
        lines += [f"- {shown.target}"] if shown.target else []
    if totals.cost_usd is not None:
        lines.append(f"- cost: ${totals.cost_usd:.2f}" + " (estimate)" * totals.cost_is_estimate)
    if summary.branch:
        lines.append(f"- branch: {code(summary.branch)} in {code(spec.workdir)}")
    if summary.ended_reason:
        lines.append(f"- ended: {summary.ended_reason}")
    if told := [link(kind, url) for kind, url in (links or {}).items() if url]:
        lines.append(f"- see {', '.join(told)}")
    lines += ["", plan] if plan else []
    lines += ["", f"Each call is a version of `{LOG_KEY}{summary.session_id}`; all: `{log}`"]
    return "\n".join(lines)


def told_of(entry: LogEntry) -> str:
    """What a list says of an entry of the log, beside its label."""
    if entry.call is not None:
        return entry.call.summary or entry.call.error or ""
    return f"{entry.verdict.status.value}: {entry.verdict.why}" if entry.verdict else ""


def section_of(entry: LogEntry) -> tuple[str, str]:
    """What an entry of the log is about, and its section of the log.

    Raises:
        ValueError: it holds neither a call nor a decision.
    """
    if entry.call is not None:
        return entry.call.label, entry_markdown(entry.call)
    if entry.verdict is not None:
        return entry.verdict.label, log_entry(entry.verdict)
    raise ValueError(f"entry {entry.number} of a log holds neither a call nor a decision")


def entry_markdown(iteration: IterationRecord) -> str:
    """One iteration as a section of iteration_log.md."""
    started = datetime.fromtimestamp(iteration.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    seconds = (iteration.finished_at or iteration.started_at) - iteration.started_at
    lines = [
        f"## {iteration.label}",
        "",
        f"- started: {started} UTC, took {seconds:.1f} s, agent {iteration.exit_reason or 'ran'}",
    ]
    if iteration.prompt_tokens:
        lines.append(f"- prompt: {prompt_text(iteration)}")
    if spent := usage_text(iteration):
        lines.append(f"- agent: {spent}")
    if iteration.held_seconds:
        lines.append(
            f"- held up before it for {iteration.held_seconds:.0f} s (rate limit or network)"
        )
    if iteration.why:
        lines.append(f"- why: {iteration.why}")
    if iteration.change:
        lines.append(f"- change ({iteration.change.kind.value}): {iteration.change.text}".rstrip())
    if iteration.promise:
        lines.append(f"- promise: {iteration.promise}")
    if iteration.continue_session is not None:
        lines.append(f"- decision: {'continue' if iteration.continue_session else 'stop'}")
    if iteration.commit:
        lines.append(f"- commit: {iteration.commit[:12]}, {iteration.files_changed} files changed")
    if iteration.tag:
        lines.append(f"- what it changed: `git show {iteration.tag}`")
    if iteration.run_ids:
        lines.append(f"- runs created: {', '.join(iteration.run_ids)}")
    lines += [f"- steered: {text}" for text in iteration.steered]
    lines += [f"- fault: {fault}" for fault in iteration.faults]
    lines += [f"- trouble: {trouble}" for trouble in iteration.troubles]
    lines += [f"- flagged: {flag}" for flag in iteration.flags]
    lines += [f"- sign of struggle: {sign}" for sign in iteration.signs]
    if iteration.error:
        lines.append(f"- error: {iteration.error}")
    for text in dict.fromkeys([iteration.summary, iteration.reflection]):
        lines += ["", text] if text else []
    return "\n".join(lines) + "\n"


def prompt_text(iteration: IterationRecord) -> str:
    """How long its prompt was, the longest parts first, and what of it stood in the one before."""
    parts = sorted(iteration.prompt_tokens.items(), key=lambda part: -part[1])
    shown = ", ".join(f"{name.split(':')[0].split(' (')[0]} {n}" for name, n in parts[:PARTS])
    text = f"about {sum(iteration.prompt_tokens.values())} tokens ({shown})"
    if iteration.prompt_repeated is not None:
        text += f", {iteration.prompt_repeated:.0%} of it as in the one before"
    return text


def usage_text(iteration: IterationRecord) -> str:
    """Tokens and cost of a call in a line; empty where the agent tells neither."""
    parts = [iteration.usage.text] if iteration.usage is not None else []
    if iteration.cost_usd is not None:
        parts.append(f"${iteration.cost_usd:.4f}" + " (estimate)" * iteration.cost_is_estimate)
    return ", ".join(parts)
