"""The report's sections about what was done: plan, calls, runs, failures, lessons."""

from collections.abc import Sequence
from itertools import groupby

from wildloop.blocks.agents.prices import Usage
from wildloop.flows.evidence.lessons import failing_regions, is_of_account, subject_of
from wildloop.flows.evidence.settings import seed_of, settings_of, shown
from wildloop.flows.evidence.values import value_of
from wildloop.flows.evidence.view import established
from wildloop.flows.models.own_runs import is_own
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.protocol.plan import MARKS, Plan
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.findings import run_link
from wildloop.flows.report.text import (
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

GONE = "**contradicted**: it was shown then, and is not by the runs that came since"
SHOWN_RUNS = 200
SHOWN_FAILURES = 20
SHOWN_BUSY = 3
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
    return f"It took {', '.join(said)}; {_cost(session.iterations)}."


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


def _cost(iterations: Sequence[IterationRecord]) -> str:
    """What the calls of the agent cost, as far as it tells that."""
    costs = [it.cost_usd for it in iterations if it.cost_usd is not None]
    if not costs:
        return "cost not told by the agent"
    some = [f"{len(costs)} of {counted(len(iterations), 'call')} tell theirs"]
    told = some * (len(costs) < len(iterations))
    told += ["partly by list prices"] * any(it.cost_is_estimate for it in iterations)
    return f"${sum(costs):.2f}" + (f" ({', '.join(told)})" if told else "")


def _spent(iterations: Sequence[IterationRecord]) -> str:
    """Cost and tokens, as far as the agent tells them."""
    usage = sum((it.usage for it in iterations if it.usage), Usage())
    if usage == Usage():
        return _cost(iterations)
    return (
        f"{_cost(iterations)}, tokens: {usage.input + usage.cache_write} in, {usage.cache_read} "
        f"from the cache, {usage.output} out"
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
    """The calls of the agent that changed something, and how many did not.

    Each with its commit, its runs and their metric; what it says is not told twice.
    """
    by_id, parts, idle, last = facts.by_id, list[str](), list[str](), ""
    for it in facts.session.iterations:
        if not _has_changed(it):
            idle.append(it.label)
            continue
        parts.append(_call(it, by_id, facts, last))
        last = it.summary or last
    if idle:
        more = f" to {idle[-1]}" if len(idle) > 1 else ""
        parts.append(f"{counted(len(idle), 'call')} changed nothing ({idle[0]}{more}).")
    return "\n\n".join(parts) or "The agent has not been called."


def _has_changed(it: IterationRecord) -> bool:
    """Whether a call made runs or changed files, decided something, or went wrong."""
    made = bool(it.run_ids) or bool(it.commit and it.files_changed)
    return made or it.continue_session is not None or bool(it.error or it.breaches or it.steered)


def _call(it: IterationRecord, by_id: dict[str, Run], facts: ReportFacts, last: str) -> str:
    seconds = (it.finished_at or it.started_at) - it.started_at
    reason = f", {plain(it.exit_reason)}" if it.exit_reason else ""
    lines = [f"- {moment(it.started_at)}, {span(seconds)}{reason}"]
    if it.commit:
        changed = f"{counted(it.files_changed, 'project file')} changed"
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
    told = f"\n\n{quote(it.summary)}" if it.summary and it.summary != last else ""
    return f"### {it.label}\n\n" + "\n".join(lines) + told


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
        return ""
    rows = []
    for cause, runs in found[:SHOWN_FAILURES]:
        names = ", ".join(run_link(run) for run in runs[:3])
        more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
        rows.append([plain(cause), str(len(runs)), names + more])
    text = table(["cause", "runs", "which"], rows)
    for region in failing_regions(facts.account):
        text += f"\n\n{plain(region.text[:1].upper() + region.text[1:])}."
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
            f"- {counted(crowd, 'run')} ran beside other runs of this session on the same host, "
            f"{alone} alone: their times, and metrics that depend on time, do not compare."
        )
    return "\n".join(lines)


def _mixed(facts: ReportFacts) -> list[str]:
    """Runs that had to share their machine with others, and comparisons that mix them."""
    if not facts.busy:
        return []
    busy = [run for run in facts.runs if run.id in facts.busy]
    why = plain(facts.busy[busy[0].id], 120) if busy else ""
    of = f"of {counted(len(facts.runs), 'run')}"
    lines = [f"- {len(busy)} {of} ran on a busy machine, such as {_some(busy)} ({why})."]
    sides = [facts.account.best, facts.account.baseline]
    measured = {run.id for side in sides if side is not None for run in side.measured}
    shared = sum(id in facts.busy for id in measured)
    if 0 < shared < len(measured):
        lines.append(
            "- **Warning**: the best and the baseline were measured by "
            f"{counted(shared, 'run')} on a busy machine and {len(measured) - shared} on a quiet "
            "one: a metric that depends on time does not compare."
        )
    return lines


def _some(runs: Sequence[Run]) -> str:
    return ", ".join(map(run_link, runs[:SHOWN_BUSY]))


def _shared_devices(runs: Sequence[Run]) -> list[str]:
    """Pairs of runs that held one device at one time: how many, and the first."""
    held = [(run.host, device, run) for run in runs if run.started_at for device in run.gpus]
    pairs = list[str]()
    for (host, device), group in groupby(
        sorted(held, key=lambda one: (one[0] or "", one[1], one[2].started_at or 0.0)),
        key=lambda one: one[:2],
    ):
        last: Run | None = None
        for _, _, run in group:
            if last is not None and (last.finished_at or 0.0) > (run.started_at or 0.0):
                pairs.append(
                    f"{run_link(last)} and {run_link(run)} shared GPU {code(device)} of "
                    f"{code(host)}"
                )
            last = run
    more = f", and {counted(len(pairs) - 1, 'more pair')}" if len(pairs) > 1 else ""
    return [f"- {pairs[0]}{more}."] if pairs else []


def _retried(runs: Sequence[Run]) -> list[str]:
    again = [run for run in runs if run.attempt > 0]
    told = f"- {counted(len(again), 'run')} tried more than once, such as {_some(again)}."
    return [told] if again else []


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
    """What was learnt; empty where no lesson was kept.

    What was shown when it was written and is not by now is marked.
    """
    held = [subject_of(text) for text in established(facts.account)]
    lines = []
    for one in facts.lessons:
        mark = one.standing
        if one.evidence is not None and is_of_account(one.content):
            mark = mark if any(subject in one.content for subject in held) else GONE
        told = f"- {code(one.tag.value)} {plain(one.content, 1000)}"
        lines.append(told + (f" ({mark})" if mark else ""))
    return "\n".join(dict.fromkeys(lines))
