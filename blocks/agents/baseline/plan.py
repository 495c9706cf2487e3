"""The plan that this agent writes, and its tasks."""

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from blocks.agents.baseline.config import ProjectFile, Surroundings

_LINE = re.compile(r"^(\s*[-*+] \[)([ xX/\-])(\] \[(P\d+-T\d+)\] )(.*)$")


class TaskLine(BaseModel):
    """One task of tasks.md."""

    model_config = ConfigDict(frozen=True)

    id: str
    box: str
    text: str

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do."""
        return self.box in (" ", "/")


class RunShares(BaseModel):
    """How the budget of runs is divided."""

    baseline: int
    broad: int
    guided: tuple[int, int]
    confirm: int
    ablation: int


def shares(project: ProjectFile) -> RunShares:
    """Divide the budget: baseline and confirmation over seeds, ablation, and search the rest."""
    seeds = project.budget.seeds
    ablation = min(len(project.search), max(1, project.budget.runs // 5))
    left = max(4, project.budget.runs - seeds - (seeds - 1) - ablation)
    broad = max(2, left * 4 // 10)
    first = max(1, (left - broad + 1) // 2)
    return RunShares(
        baseline=seeds,
        broad=broad,
        guided=(first, max(1, left - broad - first)),
        confirm=seeds - 1,
        ablation=ablation,
    )


def plan_markdown(goal: str, project: ProjectFile, where: Surroundings) -> str:
    """tasks.md."""
    share, metric = shares(project), project.metric
    folder = where.experiments.relative_to(where.project)
    space = "\n".join(
        f"  - `{name}`: "
        + (
            f"one of {dimension.values}"
            if dimension.values
            else f"{dimension.low:g} to {dimension.high:g}{' (log)' if dimension.log else ''}"
        )
        + f", baseline {project.baseline[name]}"
        for name, dimension in project.search.items()
    )
    first, second = share.guided
    tasks = [
        (
            "Ground",
            [
                (
                    "P1-T1",
                    "Check the project, the API and the compute",
                    "check.md",
                    "the command of one run and the capacity are written down",
                ),
                (
                    "P1-T2",
                    f"Measure the baseline over {share.baseline} seeds",
                    "baseline.md",
                    f"{share.baseline} runs ended, mean and spread written down",
                ),
            ],
        ),
        (
            "Broad search",
            [
                (
                    "P2-T1",
                    f"Search broadly: {share.broad} random configurations",
                    "broad.md",
                    f"{share.broad} runs ended",
                ),
                (
                    "P2-T2",
                    "Reflection gate (midpoint): what the broad search says",
                    "midpoint.md",
                    "best so far against the baseline's spread is written down",
                ),
            ],
        ),
        (
            "Guided search",
            [
                (
                    "P3-T1",
                    f"Search by TPE: {first} configurations",
                    "guided-1.md",
                    f"{first} runs ended",
                ),
                (
                    "P3-T2",
                    f"Search by TPE: {second} more, told of all before",
                    "guided-2.md",
                    f"{second} runs ended",
                ),
            ],
        ),
        (
            "Confirmation and ablation",
            [
                (
                    "P4-T1",
                    f"Confirm the best over {share.confirm} further seeds",
                    "confirm.md",
                    "mean and spread over seeds written down",
                ),
                (
                    "P4-T2",
                    "Ablation: undo each change of the best, one by one",
                    "ablation.md",
                    f"{share.ablation} runs ended, the effect of each change written down",
                ),
            ],
        ),
        (
            "Conclusions",
            [
                (
                    "P5-T1",
                    "Final analysis: best against baseline, failures, what mattered",
                    "analysis.md",
                    "every number names its runs",
                ),
                (
                    "P5-T2",
                    "Reflection gate (final): is the goal reached?",
                    "final.md",
                    "the answer is written down with its evidence",
                ),
            ],
        ),
    ]
    parts = [
        "## Goal",
        goal,
        "## Planning Notes",
        f"- One run: `{project.train.command}` with a flag for each parameter and `--seed`.\n"
        f"- Search space:\n{space}\n"
        f"- Budget: {project.budget.runs} runs. One configuration is one run; the search uses "
        "seed 0.\n"
        "- No LLM: random search, then Optuna's TPE, then seeds and ablation.",
    ]
    for number, (title, lines) in enumerate(tasks, start=1):
        parts.append(f"## Phase {number} - {title}")
        parts.append(
            "\n".join(
                f"- [ ] [{id}] {text} | deliverable: {folder / file} | done-when: {condition}"
                for id, text, file, condition in lines
            )
        )
    parts += [
        "## Shared Metrics and Analytics Contract",
        f"- Primary metric: `{metric.name}`, direction: {metric.direction}.\n"
        f"- Recorded by each run in `metrics.jsonl`; the last value counts.\n"
        "- Two configurations are compared by their means over seeds; a difference smaller than "
        "the spread (standard deviation) of the baseline counts as none.\n"
        "- Data, split, metric and training code stay as they are; only flags vary.",
    ]
    return "\n\n".join(parts) + "\n"


def read_tasks(text: str) -> list[TaskLine]:
    """The tasks, in order."""
    matches = (_LINE.match(line) for line in text.splitlines())
    return [TaskLine(id=m[4], box=m[2].lower(), text=m[5]) for m in matches if m]


def current_task(tasks: Sequence[TaskLine]) -> TaskLine | None:
    """The task in progress, else the first open one."""
    started = [task for task in tasks if task.box == "/"]
    return next(iter(started), None) or next((task for task in tasks if task.is_open), None)


def mark(path: Path, task_id: str, box: str) -> None:
    """Set the box of a task in tasks.md."""
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines):
        match = _LINE.match(line)
        if match and match[4] == task_id:
            lines[number] = f"{match[1]}{box}{match[3]}{match[5]}"
    temporary = path.with_suffix(".tmp")
    temporary.write_text("\n".join(lines), encoding="utf-8")
    temporary.replace(path)
