"""What the agent writes about the runs: summaries, deliverables, lessons."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from wildloop.blocks.agents.baseline.analysis import best_group, failures, groups, result_of
from wildloop.blocks.agents.baseline.api import EvidenceView, RunView
from wildloop.blocks.agents.baseline.config import ProjectFile
from wildloop.blocks.agents.baseline.search import Configuration

SHOWN_RUNS = 6


def said(configuration: Configuration) -> str:
    """`lr=0.1, hidden=64`"""
    return ", ".join(f"{name}={value}" for name, value in configuration.items())


def named(runs: Sequence[RunView]) -> str:
    """Names and ids of runs, not too many."""
    shown = ", ".join(f"{run.name} ({run.id})" for run in runs[:SHOWN_RUNS])
    return shown + (f" and {len(runs) - SHOWN_RUNS} more" if len(runs) > SHOWN_RUNS else "")


def headline(evidence: EvidenceView) -> str:
    """What the session has shown, in one line."""
    return f"{evidence.headline[:1].upper()}{evidence.headline[1:]}."


def stage_text(
    title: str, mine: Sequence[RunView], evidence: EvidenceView, project: ProjectFile
) -> str:
    """The deliverable of a stage."""
    parts = [f"# {title}", runs_table(mine, project), headline(evidence)]
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


def midpoint_text(
    title: str, runs: Sequence[RunView], evidence: EvidenceView, project: ProjectFile
) -> str:
    """What the broad search says."""
    parts = [f"# {title}", headline(evidence), ranking_text(runs, project)]
    parts.append(
        "Configurations with a single seed are candidates. The search goes on around the best of "
        "them; a gain counts only once further seeds show it."
    )
    parts.append("## Failures\n\n" + failures_text(runs, project))
    return "\n\n".join(parts)


def final_text(
    title: str, runs: Sequence[RunView], evidence: EvidenceView, project: ProjectFile
) -> str:
    """The whole analysis."""
    best = best_group(runs, project)
    parts = [f"# {title}", headline(evidence)]
    if best is not None and best.unseen_mean is not None:
        parts.append(
            f"By the seeds alone that the search has not seen: {best.unseen_mean:.5g} for "
            f"{said(best.configuration)}. The configuration was chosen on the data it is measured "
            "on, so a fresh test set may show somewhat less."
        )
    parts += [
        "## Configurations\n\n" + ranking_text(runs, project),
        "## Ablation\n\n" + "\n".join(ablation_lines(evidence)),
        "## Failures\n\n" + failures_text(runs, project),
    ]
    return "\n\n".join(parts)


def ablation_lines(evidence: EvidenceView) -> list[str]:
    """What each undone change of the best is worth, in a line each."""
    rows = evidence.ablation.rows if evidence.ablation is not None else []
    return [f"- {row.text}" for row in rows] or ["- no ablation was run"]


def goal_verdict(evidence: EvidenceView) -> str:
    """Whether the goal's number is reached, where it names one."""
    if evidence.target_text is None:
        return "The goal names no single number for the metric: judge by the results above."
    return f"{evidence.target_text[:1].upper()}{evidence.target_text[1:]}."


def lessons(runs: Sequence[RunView], evidence: EvidenceView, project: ProjectFile) -> list[str]:
    """What a later session should know: what is established, and what gave no result."""
    found = [f"- [lesson] {text}." for text in evidence.findings]
    # A region in which runs fail tells more than one of its points.
    if any(" failed; of the others " in text for text in evidence.findings):
        return found
    return found + [
        f"- [gotcha] {len(failed)} run{'s' * (len(failed) != 1)} gave no result ({cause}), such as "
        f"{said({name: failed[0].parameters.get(name) for name in project.search})}."
        for cause, failed in failures(runs, project).items()
    ]
