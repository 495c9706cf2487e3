"""The report's sections about what was done: plan, calls, runs, failures, lessons."""

from collections.abc import Sequence
from itertools import groupby

from wildloop.blocks.agents.prices import Usage
from wildloop.flows.evidence.settings import seed_of, settings_of, shown
from wildloop.flows.evidence.values import value_of
from wildloop.flows.models.own_runs import is_own
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.protocol.plan import MARKS, Plan
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.findings import run_link
from wildloop.flows.report.text import (
    call_link,
    code,
    link,
    moment,
    number,
    plain,
    quote,
    span,
    table,
)
from wildloop.flows.text.plural import counted

SHOWN_RUNS = 200
SHOWN_FAILURES = 20
SHOWN_BUSY = 10
SHOWN_IN_CALL = 30
OTHER_METRICS = 3


def price(facts: ReportFacts) -> str:
    """What it took, in one sentence."""
    session = facts.session
    own = f" ({len(facts.own)} of them Wildloop's own)" if facts.own else ""
    runs = counted(len(facts.every_run), "run") + own
    said = [runs, counted(session.last_index, "iteration"), span(session.seconds)]
    if facts.gpu_hours:
        said.append(f"{facts.gpu_hours:.2g} GPU-hours")
    return f"It took {', '.join(said)}; {_spent(session.iterations)}."


def summary(facts: ReportFacts) -> str:
    """The session in a few lines."""
    session, counts = facts.session, facts.counts
    ended = session.ended or f"not yet: this is how it stood at {moment(session.now)}"
    active = counts.total() - sum(counts[one] for one in RunStatus if one.is_terminal)
    name = link(session.id, session.ui_url) if session.ui_url else code(session.id)
    return "\n".join(
        [
            f"- session: {name}, {session.status}, agent {code(session.agent)}",
            f"- ended: {plain(ended)}",
            f"- time: begun {moment(session.started_at)}, {span(session.seconds)} in all",
            f"- agent: {counted(session.last_index, 'iteration')}, "
            f"{counted(len(session.iterations), 'call')}, {_spent(session.iterations)}",
            f"- runs: {counts.total()} ({counts[RunStatus.FINISHED]} finished, "
            f"{counts[RunStatus.FAILED]} failed, {counts[RunStatus.STOPPED]} stopped, "
            f"{active} not ended)",
            f"- compute: {facts.gpu_hours:.4f} GPU-hours; {facts.core_hours:.4f} core-hours (CPU "
            f"time of the runs without a GPU); {facts.slot_hours:.4f} slot-hours (slots times run "
            "time, with or without a GPU)",
        ]
    )


def _spent(iterations: Sequence[IterationRecord]) -> str:
    """Cost and tokens, as far as the agent tells them."""
    costs = [it.cost_usd for it in iterations if it.cost_usd is not None]
    cost = "cost not told by the agent"
    if costs:
        guess = ", partly by list prices" if any(it.cost_is_estimate for it in iterations) else ""
        cost = f"${sum(costs):.2f} ({len(costs)} of {len(iterations)} calls tell theirs{guess})"
    usage = sum((it.usage for it in iterations if it.usage), Usage())
    if usage == Usage():
        return cost
    return (
        f"{cost}, tokens: {usage.input + usage.cache_write} in, {usage.cache_read} from the cache, "
        f"{usage.output} out"
    )


def phases(plan: Plan) -> str:
    """The plan with what became of each task."""
    parts = []
    for phase in plan.phases:
        closed = sum(task.status.value in ("done", "cancelled") for task in phase.tasks)
        title = f"Phase {phase.number}: {plain(phase.title, 100)}"
        lines = [f"**{title}** ({closed} of {len(phase.tasks)} tasks closed)", ""]
        lines += [
            f"- {code(f'[{MARKS[task.status]}]')} {plain(' '.join([task.id or '', task.text]))}"
            + (f" → {code(task.deliverable)}" if task.deliverable else "")
            for task in phase.tasks
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) or "There is no plan."


def calls(facts: ReportFacts) -> str:
    """Each call of the agent with its commit and its runs, and their metric."""
    by_id = facts.by_id
    parts = [_call(it, by_id, facts) for it in facts.session.iterations]
    return "\n\n".join(parts) or "The agent has not been called."


def _call(it: IterationRecord, by_id: dict[str, Run], facts: ReportFacts) -> str:
    seconds = (it.finished_at or it.started_at) - it.started_at
    lines = [f"- {moment(it.started_at)}, {span(seconds)}, {plain(it.exit_reason or '-')}"]
    if it.commit:
        changed = f"{it.files_changed} project files changed"
        lines.append(f"- commit {code(it.commit[:12])}, {changed}")
    if it.continue_session is not None:
        lines.append(f"- decision: {'continue' if it.continue_session else 'stop'}")
    runs = [by_id[id] for id in it.run_ids if id in by_id]
    if runs:
        said = [f"{run_link(run)} {_value(run, facts)}" for run in runs[:SHOWN_IN_CALL]]
        more = len(runs) - SHOWN_IN_CALL
        lines.append(f"- runs: {', '.join(said)}" + (f" and {more} more" if more > 0 else ""))
    lines += [f"- steered: {plain(text)}" for text in it.steered]
    lines += [f"- breach of the rules: {plain(text)}" for text in it.breaches]
    if it.error:
        lines.append(f"- error: {plain(it.error)}")
    body = "\n".join(lines) + (f"\n\n{quote(it.summary)}" if it.summary else "")
    return f"### {it.label}\n\n{body}"


def _value(run: Run, facts: ReportFacts) -> str:
    value = value_of(run, facts.metric.name) if facts.metric else None
    return run.status.value if value is None else number(value)


def runs_table(facts: ReportFacts) -> str:
    """All runs, Wildloop's own too; of very many the first, and where the rest is."""
    runs = facts.every_run
    if not runs:
        return "There were no runs."
    metric = [facts.metric.name] if facts.metric else []
    seen = sorted({name for run in runs for name in run.metrics} - set(metric))
    metrics = metric + seen[: OTHER_METRICS - len(metric)]
    shown = runs[:SHOWN_RUNS]
    header = ["run", "call", "status", "seconds", "seed", "settings"]
    rows = [_run_row(run, metrics, facts) for run in shown]
    text = table([*header, *[plain(name, 40) for name in metrics]], rows, right=len(metrics))
    if len(runs) > len(shown):
        text += (
            f"\n\nThe table is cut: the first {len(shown)} of {len(runs)} runs. All of them, "
            "with all metrics, are in `runs.csv` beside this report."
        )
    else:
        text += "\n\nAlso in `runs.csv` beside this report, with all metrics."
    return text


def _run_row(run: Run, metrics: Sequence[str], facts: ReportFacts) -> list[str]:
    label = facts.label_of(run)
    seconds = "-"
    if run.started_at is not None and run.finished_at is not None:
        seconds = f"{run.finished_at - run.started_at:.1f}"
    return [
        run_link(run),
        f"[{label}](#{label.replace('.', '')})" if label else "Wildloop" if is_own(run) else "-",
        run.status.value,
        seconds,
        plain(seed_of(run) or "-", 20),
        plain(shown(settings_of(run)) or "-"),
        *[number(run.metrics.get(name)) for name in metrics],
    ]


def failures(facts: ReportFacts) -> str:
    """What has no result, by cause."""
    found = facts.failures
    if not found:
        return "Every run that has ended has a result."
    rows = []
    for cause, runs in found[:SHOWN_FAILURES]:
        names = ", ".join(run_link(run) for run in runs[:3])
        more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
        rows.append([plain(cause), str(len(runs)), names + more])
    text = table(["cause", "runs", "which"], rows)
    if len(found) > SHOWN_FAILURES:
        text += f"\n\nThe {SHOWN_FAILURES} most frequent of {len(found)} causes."
    return text


def comparability(facts: ReportFacts) -> str:
    """What of the machine may have come between the runs."""
    lines = [*_mixed(facts), *_shared_devices(facts.runs), *_retried(facts.runs)]
    hosts = sorted({run.host for run in facts.runs if run.host})
    if len(hosts) > 1:
        lines.append(f"- The runs ran on {len(hosts)} hosts ({plain(', '.join(hosts))}).")
    crowd, alone = _crowd(facts.runs)
    if crowd:
        lines.append(
            f"- {crowd} runs ran beside other runs of this session on the same host, {alone} "
            "alone: their times, and metrics that depend on time, do not compare."
        )
    return "\n".join(lines) or "Nothing was noted that stands against comparing the runs."


def _mixed(facts: ReportFacts) -> list[str]:
    """Runs that had to share their machine with others, and comparisons that mix them."""
    if not facts.busy:
        return []
    busy = [run for run in facts.runs if run.id in facts.busy]
    told = [f"{run_link(run)} ({plain(facts.busy[run.id])})" for run in busy[:SHOWN_BUSY]]
    more = f" and {len(busy) - SHOWN_BUSY} more" if len(busy) > SHOWN_BUSY else ""
    lines = [f"- On a busy machine: {', '.join(told)}{more}."]
    sides = [facts.account.best, facts.account.baseline]
    measured = [run for side in sides if side is not None for run in side.measured]
    shared = sum(run.id in facts.busy for run in measured)
    if 0 < shared < len(measured):
        lines.append(
            f"- **Warning**: the best and the baseline were measured by {shared} runs on a busy "
            f"machine and {len(measured) - shared} on a quiet one: a metric that depends on time "
            "does not compare."
        )
    return lines


def _shared_devices(runs: Sequence[Run]) -> list[str]:
    """Runs that held one device at one time."""
    held = [(run.host, device, run) for run in runs if run.started_at for device in run.gpus]
    lines = []
    for (host, device), group in groupby(
        sorted(held, key=lambda one: (one[0] or "", one[1], one[2].started_at or 0.0)),
        key=lambda one: one[:2],
    ):
        last: Run | None = None
        for _, _, run in group:
            if last is not None and (last.finished_at or 0.0) > (run.started_at or 0.0):
                lines.append(
                    f"- {run_link(last)} and {run_link(run)} shared GPU {code(device)} of "
                    f"{code(host)}."
                )
            last = run
    return lines


def _retried(runs: Sequence[Run]) -> list[str]:
    again = [run for run in runs if run.attempt > 0]
    names = ", ".join(f"{run_link(run)} ({run.attempt + 1} attempts)" for run in again[:10])
    more = f" and {len(again) - 10} more" if len(again) > 10 else ""
    return [f"- Tried more than once: {names}{more}."] if again else []


def _crowd(runs: Sequence[Run]) -> tuple[int, int]:
    """How many runs without a device of their own had company on their host, and how many not."""
    beside, total = set(), 0
    timed = sorted(
        (run for run in runs if run.started_at and run.finished_at and not run.gpus),
        key=lambda run: (run.host or "", run.started_at or 0.0),
    )
    total = len(timed)
    for _, group in groupby(timed, key=lambda run: run.host):
        latest: Run | None = None
        for run in group:
            if latest is not None and (latest.finished_at or 0.0) > (run.started_at or 0.0):
                beside |= {latest.id, run.id}
            if latest is None or (run.finished_at or 0.0) > (latest.finished_at or 0.0):
                latest = run
    return len(beside), total - len(beside)


def lessons(facts: ReportFacts) -> str:
    """What was learnt, and what the reflections said."""
    kept = [
        f"- {code(one.tag.value)} {plain(one.content, 1000)}"
        + (f" ({one.standing})" if one.standing else "")
        for one in facts.lessons
    ]
    reflections = [
        f"{call_link(it.label)}: "
        + {True: "continue", False: "stop", None: "no decision"}[it.continue_session]
        for it in facts.session.iterations
        if it.kind == "reflection"
    ]
    text = "\n".join(kept) or "No lesson was kept."
    return text + (f"\n\nReflections: {', '.join(reflections)}." if reflections else "")
