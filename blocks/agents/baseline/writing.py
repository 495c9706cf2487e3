"""What the agent writes about the runs: summaries, deliverables, lessons."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from blocks.agents.baseline.analysis import (
    Effect,
    Group,
    baseline_group,
    best_group,
    effects,
    failures,
    gain,
    group_of,
    groups,
    holds,
    pooled_spread,
    result_of,
    target_of,
)
from blocks.agents.baseline.api import RunView
from blocks.agents.baseline.config import ProjectFile
from blocks.agents.baseline.search import Configuration

SHOWN_RUNS = 6


def said(configuration: Configuration) -> str:
    """`lr=0.1, hidden=64`"""
    return ", ".join(f"{name}={value}" for name, value in configuration.items())


def named(runs: Sequence[RunView]) -> str:
    """Names and ids of runs, not too many."""
    shown = ", ".join(f"{run.name} ({run.id})" for run in runs[:SHOWN_RUNS])
    return shown + (f" and {len(runs) - SHOWN_RUNS} more" if len(runs) > SHOWN_RUNS else "")


def headline(runs: Sequence[RunView], project: ProjectFile) -> str:
    """Best against baseline in one line."""
    base, best = baseline_group(runs, project), best_group(runs, project)
    name = project.metric.name
    if base is None and best is None:
        ended = sum(run.ended for run in runs)
        return f"None of {ended} ended runs has a result." if ended else "No run has ended yet."
    if base is None and best is not None:
        return f"Best {name} {best.text()} with {said(best.configuration)}; no baseline result."
    assert base is not None
    if best is None:
        return f"Baseline {name} {base.text()}."
    return (
        f"Best {name} {best.text()} with {said(best.configuration)}; baseline {base.text()}; "
        f"gain {gain(best, base, project):+.4f}, {_weight(best, base, project)}."
    )


def _weight(best: Group, base: Group, project: ProjectFile) -> str:
    held = holds(best, base, project)
    if held is None:
        return "not confirmed over seeds"
    if gain(best, base, project) <= 0:
        return "so no gain"
    return "more than the spread over seeds" if held else "within the spread over seeds"


def stage_text(
    title: str, mine: Sequence[RunView], runs: Sequence[RunView], project: ProjectFile
) -> str:
    """The deliverable of a stage."""
    parts = [f"# {title}", runs_table(mine, project), headline(runs, project)]
    if any(failures(mine, project)):
        parts.append("## Failures\n\n" + failures_text(mine, project))
    return "\n\n".join(parts)


def runs_table(runs: Sequence[RunView], project: ProjectFile) -> str:
    """Runs as a Markdown table."""
    header = ["run", "id", "status", "seed", *project.search, project.metric.name]
    rows = [_row(header), "|" + " --- |" * len(header)]
    for run in runs:
        value = result_of(run, project)
        cells = [run.name, run.id, run.status, run.seed]
        cells += [run.parameters.get(name, "") for name in project.search]
        rows.append(_row([*cells, "none" if value is None else f"{value:.5g}"]))
    return "\n".join(rows)


def _row(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def runs_csv(runs: Sequence[RunView], project: ProjectFile) -> str:
    """Every run with its full configuration, one a line."""
    names = list(project.baseline)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["run", "id", "status", "seed", *names, project.metric.name])
    for run in runs:
        value = result_of(run, project)
        cells = [run.parameters.get(name, "") for name in names]
        writer.writerow(
            [run.name, run.id, run.status, run.seed, *cells, "" if value is None else value]
        )
    return buffer.getvalue()


def failures_text(runs: Sequence[RunView], project: ProjectFile) -> str:
    """The runs without a result, by cause."""
    found = failures(runs, project)
    return "\n".join(f"- {cause}: {named(failed)}" for cause, failed in found.items()) or "None."


def ranking_text(runs: Sequence[RunView], project: ProjectFile) -> str:
    """Every configuration with its result, best first."""
    rows = [_row(["configuration", project.metric.name, "runs"]), "| --- | --- | --- |"]
    rows += [
        _row([said(group.configuration), group.text(), ", ".join(run.name for run in group.runs)])
        for group in groups(runs, project)
    ]
    return "\n".join(rows)


def midpoint_text(title: str, runs: Sequence[RunView], project: ProjectFile) -> str:
    """What the broad search says."""
    parts = [f"# {title}", headline(runs, project), ranking_text(runs, project)]
    base, best = baseline_group(runs, project), best_group(runs, project)
    if base is not None and best is not None:
        better = sum(
            project.metric.better_by(group.mean, base.mean) > (base.spread or 0.0)
            for group in groups(runs, project)
        )
        parts.append(
            f"{better} configurations are better than the baseline by more than its spread "
            f"({base.spread or 0.0:.4f}), each by a single seed so far. The search goes on around "
            "them; a gain counts only once it holds over further seeds."
        )
    parts.append("## Failures\n\n" + failures_text(runs, project))
    return "\n\n".join(parts)


def final_text(
    title: str,
    runs: Sequence[RunView],
    ablated: tuple[Sequence[RunView], Configuration],
    project: ProjectFile,
) -> str:
    """The whole analysis."""
    best = best_group(runs, project)
    parts = [f"# {title}", headline(runs, project)]
    if best is not None and best.unseen_mean is not None:
        parts.append(
            f"By the seeds alone that the search has not seen: {best.unseen_mean:.5g} for the "
            "best. The configuration was chosen on the data it is measured on, so a fresh test "
            "set may show somewhat less."
        )
    parts += [
        "## Configurations\n\n" + ranking_text(runs, project),
        "## Ablation\n\n" + "\n".join(ablation_lines(runs, ablated, project)),
        "## Failures\n\n" + failures_text(runs, project),
    ]
    return "\n\n".join(parts)


def ablation_lines(
    runs: Sequence[RunView],
    ablated: tuple[Sequence[RunView], Configuration],
    project: ProjectFile,
) -> list[str]:
    """The effect of each undone change of the best, in a line each."""
    found = effects(ablated[0], runs, project, ablated[1])
    noise = pooled_spread([baseline_group(runs, project), group_of(runs, project, ablated[1])])
    return [_effect(one, noise, project) for one in found] or ["- no ablation was run"]


def _effect(effect: Effect, spread: float, project: ProjectFile) -> str:
    undone = "- " + ", ".join(f"{name} back at {value}" for name, value in effect.undone.items())
    if effect.value is None:
        return f"{undone}: no result ({named(effect.runs)})"
    loss = project.metric.better_by(effect.reference, effect.value)
    verdict = "the change matters, beyond the spread" if loss > spread else "within the spread"
    if loss < -spread:
        verdict = "better without the change, beyond the spread"
    return (
        f"{undone}: {project.metric.name} {effect.value:.5g} against {effect.reference:.5g} over "
        f"{effect.seeds} common seed{'s' if effect.seeds > 1 else ''}, a loss of {loss:+.4f}: "
        f"{verdict} of {spread:.4f} ({', '.join(run.name for run in effect.runs)})"
    )


def goal_verdict(goal: str, runs: Sequence[RunView], project: ProjectFile) -> str:
    """Whether the goal's number is reached, where it names one."""
    target, best = target_of(goal, project), best_group(runs, project)
    if target is None:
        return "The goal names no single number for the metric: judge by the results above."
    base = baseline_group(runs, project)
    found = [group for group in (best, base) if group is not None]
    if not found:
        return f"The goal's {target.value:g} is not reached: no run has a result."
    met = next((group for group in found if target.met_by(group.mean)), None)
    shown = met or found[0]
    word = "is reached" if met else "is not reached"
    sure = "" if len(shown.values) > 1 else ", by a single seed only"
    return (
        f"The goal's {target.value:g} {word}: {project.metric.name} {shown.text()} with "
        f"{said(shown.configuration)}{sure}."
    )


def lessons(
    runs: Sequence[RunView],
    ablated: tuple[Sequence[RunView], Configuration],
    project: ProjectFile,
) -> list[str]:
    """What a later session should know, with the numbers."""
    base, best = baseline_group(runs, project), best_group(runs, project)
    lines = []
    if base is not None:
        lines.append(
            f"- [lesson] The baseline ({said(base.configuration)}) has {project.metric.name} "
            f"{base.text()}: a smaller difference than its spread is noise."
        )
    if best is not None and base is not None:
        lines.append(
            f"- [lesson] {said(best.configuration)} reached {project.metric.name} {best.text()}, "
            f"{gain(best, base, project):+.4f} over the baseline, {_weight(best, base, project)}."
        )
    if ablated[0]:
        lines += [f"- [lesson] {line[2:]}" for line in ablation_lines(runs, ablated, project)]
    return lines + [
        f"- [gotcha] {len(failed)} runs gave no result ({cause}), such as "
        f"{said({name: failed[0].parameters.get(name) for name in project.search})}."
        for cause, failed in failures(runs, project).items()
    ]
