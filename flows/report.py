"""The report of a session: every number in it comes from a run that it names."""

import asyncio
import shlex
import statistics
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from prefect.logging import get_run_logger

from flows import git
from flows.keep.texts import report_section
from flows.models.run import Run, RunCounts, RunStatus
from flows.models.session import BestResult
from flows.protocol.plan import Plan
from flows.results import best_result, scored
from flows.session import ResearchSession, entry_markdown
from flows.store import artifacts
from flows.store.sessions import REPORT_KEY
from flows.tables import run_table


async def write_report(session: ResearchSession) -> Path:
    """Write report.md and its plots, commit them, and keep the text as an artifact."""
    runs = await session.all_runs()
    project = session.project
    best, baseline = best_result(runs, project)
    session.record.best_run_id = best.run_id if best else None
    # The worker, and the Prefect server that loads it, do without matplotlib until now.
    from flows.plots import draw_plots

    session.paths.plots.mkdir(parents=True, exist_ok=True)
    metric = project.metric if project else None
    plots = await asyncio.to_thread(draw_plots, session.paths.plots, runs, metric)
    text = report_markdown(session, runs, best, baseline, plots)
    session.paths.report.write_text(text, encoding="utf-8")
    session.record.report_path = str(session.paths.report)
    await artifacts.write(
        session.client,
        REPORT_KEY + session.id,
        text=text,
        description=f"Report: {session.spec.goal[:200]}",
        flow_run_id=session.flow_run_id,
    )
    await session.save()
    try:
        await git.commit_all(session.workdir, f"wild: report\n\nSession: {session.id}")
    except git.GitError as error:
        get_run_logger().error("the report was not committed: %s", error)
    return session.paths.report


def report_markdown(
    session: ResearchSession,
    runs: Sequence[Run],
    best: BestResult | None,
    baseline: BestResult | None,
    plots: Sequence[Path],
) -> str:
    """The report as Markdown."""
    by_id = {run.id: run for run in runs}
    lessons = [it for it in session.record.iterations if it.kind == "reflection"]
    parts = [
        "# Research report",
        f"**Goal**: {session.spec.goal}",
        _facts(session, runs),
        "## Result",
        _result(best, baseline, runs, by_id),
        *[f"![{path.stem.replace('_', ' ')}](plots/{path.name})" for path in plots],
        "## What was done",
        _phases(session.plan()),
        "## Runs",
        run_table(runs),
        *_kept(session),
        "## Failures",
        _failures(runs),
        "## Reflections",
        *([entry_markdown(it) for it in lessons] or ["None."]),
        "## Reproduce the best run",
        _reproduce(by_id.get(best.run_id) if best else None),
        f"The work is on branch `{session.record.branch}`, begun at commit "
        f"`{session.record.base_commit}`: `git diff {session.record.base_commit}..HEAD` shows all.",
    ]
    return "\n\n".join(parts) + "\n"


def _kept(session: ResearchSession) -> list[str]:
    if session.spec.keep == "all":
        return []
    return ["## Kept and discarded", report_section(session.record.keep, session.spec.keep_alpha)]


def _facts(session: ResearchSession, runs: Sequence[Run]) -> str:
    record = session.record
    started = record.iterations[0].started_at if record.iterations else None
    seconds = datetime.now(UTC).timestamp() - started if started else 0.0
    counts = RunCounts.of(Counter(run.status for run in runs))
    slot_hours = sum(
        run.gpus_requested * (run.finished_at - run.started_at) / 3600
        for run in runs
        if run.started_at and run.finished_at
    )
    cost = sum(it.cost_usd or 0.0 for it in record.iterations)
    return "\n".join(
        [
            f"- session: `{session.id}`, agent `{session.spec.agent}`",
            f"- ended: {record.ended_reason}",
            f"- iterations: {record.last_index}, agent calls: {len(record.iterations)}, "
            f"wall clock: {seconds / 60:.1f} min, cost: ${cost:.2f}",
            f"- runs: {counts.total} ({counts.completed} finished, {counts.failed} failed, "
            f"{counts.canceled} stopped), {slot_hours:.3f} slot-hours",
        ]
    )


def _result(
    best: BestResult | None,
    baseline: BestResult | None,
    runs: Sequence[Run],
    by_id: dict[str, Run],
) -> str:
    if best is None or baseline is None:
        return (
            "No finished run has the primary metric (set [metric] name in wildloop.toml), "
            "so nothing can be compared."
        )
    rows = [
        "| | run | " + best.metric + " | mean over seeds | seeds |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for title, result in (("baseline", baseline), ("best", best)):
        values = same_configuration(by_id[result.run_id], runs, result.metric)
        spread = statistics.stdev(values) if len(values) > 1 else None
        mean = f"{statistics.fmean(values):.5g}" + (f" ± {spread:.2g}" if spread else "")
        rows.append(
            f"| {title} | `{result.run_name}` | {result.value:.5g} | {mean} | {len(values)} |"
        )
    means = [
        statistics.fmean(same_configuration(by_id[result.run_id], runs, result.metric))
        for result in (baseline, best)
    ]
    return "\n".join(rows) + "\n\n" + verdict(best, baseline, means[1] - means[0])


def verdict(best: BestResult, baseline: BestResult, gain_of_means: float) -> str:
    """What the result says, by single runs and by means over seeds."""
    gain = best.value - baseline.value
    text = (
        f"Best run against baseline run: {gain:+.5g} {best.metric}; mean against mean: "
        f"{gain_of_means:+.5g} (direction: {best.direction})."
    )
    if (gain_of_means if best.direction == "max" else -gain_of_means) <= 0:
        text += " By the means, nothing better than the baseline was found."
    return text


def same_configuration(run: Run, runs: Sequence[Run], metric: str) -> list[float]:
    """The metric of every finished run with this run's parameters, whatever the seed."""

    def key(one: Run) -> str:
        rest = {name: value for name, value in one.parameters.items() if name != "seed"}
        return str(sorted(rest.items())) if rest else one.command

    return [value for value, other in scored(runs, metric) if key(other) == key(run)]


def _phases(plan: Plan) -> str:
    marks = {"done": "x", "in_progress": "/", "cancelled": "-", "open": " "}
    lines = []
    for phase in plan.phases:
        lines.append(f"**Phase {phase.number} - {phase.title}**\n")
        lines += [
            f"- [{marks[task.status]}] {task.id or ''} {task.text}".rstrip() for task in phase.tasks
        ]
        lines.append("")
    return "\n".join(lines).strip() or "There is no plan."


def _failures(runs: Sequence[Run]) -> str:
    failed = [run for run in runs if run.status is RunStatus.FAILED]
    if not failed:
        return "No run failed."
    return "\n".join(f"- `{run.name}` ({run.id}): {run.error}" for run in failed)


def _reproduce(run: Run | None) -> str:
    if run is None:
        return "There is no best run."
    lines = [f"cd {shlex.quote(run.workdir)}"]
    if run.git_commit:
        lines.append(f"git checkout {run.git_commit}")
        patch = Path(run.run_dir) / "dirty.patch"
        if patch.exists():
            lines.append(f"git apply {shlex.quote(str(patch))}")
    lines.append(run.command)
    return "```bash\n" + "\n".join(lines) + "\n```"
