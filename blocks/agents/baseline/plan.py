"""The plan that this agent writes, and what it writes when a preflight probe fails."""

from typing import NamedTuple

from wildloop.blocks.agents.baseline.config import ProjectFile, Surroundings
from wildloop.blocks.agents.baseline.shares import shares

ABORT_SENTINEL = "ABORT_EARLY_DOCS_CHECK_FAILED"


class _Line(NamedTuple):
    """A task, with `{...}` for the run shares."""

    id: str
    text: str
    deliverable: str
    done_when: str


_PHASES: tuple[tuple[str, tuple[_Line, ...]], ...] = (
    (
        "Ground",
        (
            _Line(
                "P1-T1",
                "Check the project, the API and the compute",
                "check.md",
                "the command of one run, its files and the slots are written down",
            ),
            _Line(
                "P1-T2",
                "Measure the baseline over {baseline} seeds",
                "baseline.md",
                "{baseline} runs have ended; mean and spread are written down",
            ),
        ),
    ),
    (
        "Broad search",
        (
            _Line(
                "P2-T1",
                "Search broadly: {broad} configurations, the middle of the space and around it",
                "broad.md",
                "{broad} runs have ended",
            ),
            _Line(
                "P2-T2",
                "Reflection gate (midpoint): what the broad search says",
                "midpoint.md",
                "the best so far is set against the baseline's spread",
            ),
        ),
    ),
    (
        "Guided search",
        (
            _Line(
                "P3-T1",
                "Search where most is to be expected: {near} configurations at most",
                "near.md",
                "its runs have ended",
            ),
            _Line(
                "P3-T2",
                "Evolutionary sweep: about {evolved} trials around the best",
                "evolved.md",
                "its runs have ended",
            ),
        ),
    ),
    (
        "Confirmation and ablation",
        (
            _Line(
                "P4-T1",
                "Race: fresh seeds for those that may be the best, about {race} runs",
                "race.md",
                "one has won, or the budget is spent",
            ),
            _Line(
                "P4-T2",
                "Ablation: undo the changes of the best one by one, {ablation} runs{rest}",
                "ablation.md",
                "the effect of each undone change is written down",
            ),
        ),
    ),
    (
        "Conclusions",
        (
            _Line(
                "P5-T1",
                "Final analysis: best against baseline, what mattered, what failed",
                "analysis.md",
                "every number names its runs; all runs are in runs.csv beside it",
            ),
            _Line(
                "P5-T2",
                "Reflection gate (final): is the goal reached?",
                "final.md",
                "the answer is written down with its evidence",
            ),
        ),
    ),
)


def plan_markdown(goal: str, project: ProjectFile, where: Surroundings) -> str:
    """tasks.md."""
    parts = ["## Goal", quoted(goal), "## Planning Notes", _notes(project)]
    share = shares(project)
    counts = share.model_dump() | {"rest": "" if share.ablation else " but for those left over"}
    folder = where.experiments.relative_to(where.project)
    for number, (title, lines) in enumerate(_PHASES, start=1):
        parts.append(f"## Phase {number} - {title}")
        parts.append(
            "\n".join(
                f"- [ ] [{one.id}] {one.text.format_map(counts)} | deliverable: "
                f"{folder / one.deliverable} | done-when: {one.done_when.format_map(counts)}"
                for one in lines
            )
        )
    parts += ["## Shared Metrics and Analytics Contract", _contract(project)]
    return "\n\n".join(parts) + "\n"


def quoted(goal: str) -> str:
    """The user's words as a quotation: no heading or box in them becomes part of the plan."""
    return "\n".join(f"> {line}".rstrip() for line in goal.strip().splitlines())


def _notes(project: ProjectFile) -> str:
    space = "\n".join(
        f"  - `{name}`: {dimension.text()}; baseline {project.baseline[name]}"
        for name, dimension in project.search.items()
    )
    fixed = {name: value for name, value in project.baseline.items() if name not in project.search}
    return (
        f"- One run: `{project.train.command}` with a flag for each parameter and `--seed`.\n"
        f"- Search space:\n{space}\n"
        + (f"- Always: {', '.join(f'{k}={v}' for k, v in fixed.items())}.\n" if fixed else "")
        + f"- Budget: {project.budget.runs} runs in all. One configuration is one run; the search "
        "uses seed 0,\n  and seeds of its own where they are loud.\n"
        "- No LLM: a broad start, expected improvement by a Gaussian process, an evolutionary\n"
        "  sweep (where the session takes none: more of the same), then a race over fresh seeds,\n"
        "  for which as many runs are left as it is expected to need.\n"
        "- Each stage writes what it will run (`<stage>.json`) before it creates the first run."
    )


def _contract(project: ProjectFile) -> str:
    metric = project.metric
    return (
        f"- Primary metric: `{metric.name}`, direction: {metric.direction}.\n"
        "- Recorded by each run in `$WILDLOOP_RUN_DIR/metrics.jsonl`; its last value counts, read "
        "from `GET /runs`.\n"
        "- Two configurations are compared by their means over seeds. A gain counts when it is "
        "larger than the standard deviation over seeds of both.\n"
        "- A failed run is no result; it is listed with its cause.\n"
        "- Data, split, metric and training code stay as they are: only flags vary."
    )


def playbook_markdown(project: ProjectFile) -> str:
    """prompt_skill_playbook.md."""
    return (
        "# Playbook\n\n"
        "- Every run: skill `wild_v2_execution_ops_protocol`; never outside the API.\n"
        f"- One run: `{project.train.command} --name=value ... --seed=0`.\n"
        "- Stages are sweeps named by their task; runs are named `<phase>-<stage>-<number>`.\n"
    )


def abort_markdown(goal: str, failed: list[str]) -> str:
    """tasks.md after a failed preflight."""
    checks = "\n".join(f"- [ ] {' '.join(check.split())}" for check in failed)
    return (
        f"# Aborted before anything was spent\n\n`{ABORT_SENTINEL}`\n\n## Goal\n\n{quoted(goal)}"
        f"\n\n## Failed checks\n\n{checks}\n\nMend these, then start the session again.\n"
    )
