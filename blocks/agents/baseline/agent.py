"""One call of the agent: find out where the session stands, do the next thing, answer in tags."""

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from blocks.agents.baseline.analysis import (
    baseline_group,
    gain,
    groups,
    holds,
    table,
)
from blocks.agents.baseline.api import Api, ApiError, RunView
from blocks.agents.baseline.config import (
    ConfigError,
    ProjectFile,
    Surroundings,
    read_project,
    read_surroundings,
)
from blocks.agents.baseline.plan import TaskLine, current_task, mark, plan_markdown, read_tasks
from blocks.agents.baseline.stages import STAGES, best_group, create_missing, trials

_GOAL = re.compile(r"^## Goal\s*\n+(.*?)(?=\n## |\n\{|\Z)", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Read the prompt, act, print the reply; return the exit code."""
    prompt = sys.stdin.read()
    try:
        where = read_surroundings()
        project = read_project(where.project)
        api = Api(where.server_url, where.token, where.session_id)
        if where.phase == "planning":
            reply = plan(api, project, where, prompt)
        elif where.phase == "iteration":
            reply = iterate(api, project, where)
        else:
            reply = reflect(api, project, where)
    except (ConfigError, ApiError) as error:
        sys.stdout.write(tags(summary=f"Stopped by a fault: {error}"))
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(reply)
    return 0


def tags(**contents: str | None) -> str:
    """The reply: one tag for each content that is not None."""
    return (
        "\n".join(
            f"<{name}>\n{text.strip()}\n</{name}>" if "\n" in text else f"<{name}>{text}</{name}>"
            for name, text in contents.items()
            if text is not None
        )
        + "\n"
    )


def plan(api: Api, project: ProjectFile, where: Surroundings, prompt: str) -> str:
    """Probe the API, then write plan and playbook."""
    for path in ("/health", "/wild/v2/system-health"):
        api.get(path)
    api.get("/prompt-skills/wild_v2_execution_ops_protocol")
    found = _GOAL.search(prompt)
    goal = found[1].strip() if found else f"Improve {project.metric.name}"
    text = plan_markdown(goal.split("\n\n")[0], project, where)
    where.session_dir.mkdir(parents=True, exist_ok=True)
    where.tasks_path.write_text(text, encoding="utf-8")
    (where.session_dir / "prompt_skill_playbook.md").write_text(
        "# Playbook\n\n- Every run: skill `wild_v2_execution_ops_protocol`, sections 3 to 5.\n"
        f"- One run: `{project.train.command} --name=value ...`.\n"
        "- Stages are sweeps named by their task id; runs are named `<phase>-<stage>-<number>`.\n",
        encoding="utf-8",
    )
    return tags(
        summary=f"Planned {len(read_tasks(text))} tasks in 5 phases for {project.metric.name} "
        f"({project.metric.direction}) over {', '.join(project.search)}, "
        f"{project.budget.runs} runs in all.",
        plan=text,
    )


def iterate(api: Api, project: ProjectFile, where: Surroundings) -> str:
    """Carry out the current task."""
    tasks = read_tasks(where.tasks_path.read_text(encoding="utf-8"))
    task = current_task(tasks)
    if task is None:
        return tags(summary="Every task is closed.", promise="DONE")
    runs = api.runs()
    if task.id in STAGES:
        return run_stage(api, project, where, task, runs)
    if task.id == "P1-T1":
        text = check_text(api, project)
    else:
        text = analysis_text(project, runs, task.text.split(" | ")[0])
    deliver(where, task, text)
    mark(where.tasks_path, task.id, "x")
    last = sum(one.is_open for one in tasks) == 1
    found = headline(project, runs) or text.strip().splitlines()[-1].removeprefix("- ")
    return tags(
        summary=f"{task.id}: {found}",
        promise="DONE" if last else None,
    )


def run_stage(
    api: Api, project: ProjectFile, where: Surroundings, task: TaskLine, runs: Sequence[RunView]
) -> str:
    """Create a stage's runs, wait for them, or close the task when they have ended."""
    stage = STAGES[task.id]
    mine = [run for run in runs if run.name.startswith(f"{stage.prefix}-")]
    others = [run for run in runs if run not in mine]
    if task.box == " " or not mine:
        wanted = trials(stage, project, others)
        if not wanted:
            mark(where.tasks_path, task.id, "-")
            return tags(summary=f"{task.id}: cancelled, no run has finished to build upon.")
        made = create_missing(api, stage, project, where, wanted)
        mark(where.tasks_path, task.id, "/")
        return tags(
            summary=f"{task.id}: {len(made)} runs queued ({stage.prefix}).", promise="WAITING"
        )
    active = [run for run in mine if not run.ended]
    if active:
        return tags(
            summary=f"{task.id}: {len(active)} of {len(mine)} runs have not ended.",
            promise="WAITING",
        )
    text = f"# {stage.goal}\n\n{table(mine, project)}\n\n{headline(project, runs)}\n"
    deliver(where, task, text)
    mark(where.tasks_path, task.id, "x")
    failed = sum(run.status != "finished" for run in mine)
    return tags(
        summary=f"{task.id}: {len(mine) - failed} runs finished"
        + (f", {failed} did not" if failed else "")
        + f". {headline(project, runs)}"
    )


def headline(project: ProjectFile, runs: Sequence[RunView]) -> str:
    """Best against baseline in one line."""
    found = groups(runs, project)
    base, best = baseline_group(found, project), best_group(project, runs)
    if base is None:
        return "The baseline has no finished run." if runs else ""
    if best is None:
        return f"Baseline {project.metric.name} {base.text()}."
    return (
        f"Best {project.metric.name} {best.text()} with "
        f"{', '.join(f'{name}={value}' for name, value in best.configuration.items())}; "
        f"baseline {base.text()}; gain {gain(best, base, project):+.4f}, "
        + ("more than the spread." if holds(best, base, project) else "within the spread.")
    )


def check_text(api: Api, project: ProjectFile) -> str:
    """What the first task finds."""
    view = api.get("/cluster")
    capacity, label = view["capacity"], view["cluster"]["label"]
    return (
        "# Check\n\n"
        f"- command of one run: `{project.train.command}` with flags\n"
        f"- compute: {label}\n- capacity: {capacity['g']} slots, {capacity['r']} held"
    )


def analysis_text(project: ProjectFile, runs: Sequence[RunView], title: str) -> str:
    """What the runs say so far."""
    found = groups(runs, project)
    lines = [f"# {title}", "", headline(project, runs), "", "| configuration | result | runs |"]
    lines.append("| --- | --- | --- |")
    for group in found:
        values = ", ".join(f"{name}={value}" for name, value in group.configuration.items())
        lines.append(f"| {values} | {group.text()} | {', '.join(r.name for r in group.runs)} |")
    lines += ["", "## Ablation", "", *ablation_lines(project, runs), "", "## Failures", ""]
    failed = [run for run in runs if run.ended and run.status != "finished"]
    lines += [f"- {run.name}: {run.error or run.status}" for run in failed] or ["None."]
    return "\n".join(lines) + "\n"


def ablation_lines(project: ProjectFile, runs: Sequence[RunView]) -> list[str]:
    """The effect of each change of the best."""
    best = best_group(project, runs)
    ablated = [run for run in runs if run.name.startswith("p4-ablate-") and run.ended]
    if best is None or not ablated:
        return ["Not done yet."]
    lines = []
    for run in ablated:
        undone = [
            name for name, value in best.configuration.items() if run.parameters.get(name) != value
        ]
        value = run.metrics.get(project.metric.name)
        effect = f"{value - best.mean:+.4f}" if value is not None else f"no result ({run.error})"
        lines.append(
            f"- {', '.join(undone) or 'nothing'} back to the baseline: {effect} ({run.id})"
        )
    return lines


def deliver(where: Surroundings, task: TaskLine, text: str) -> None:
    """Write the task's deliverable."""
    found = re.search(r"\| deliverable: (\S+)", task.text)
    path = where.project / found[1] if found else where.experiments / f"{task.id}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    path.write_text(f"{text.rstrip()}\n\n_{task.id}, {stamp}_\n", encoding="utf-8")


def reflect(api: Api, project: ProjectFile, where: Surroundings) -> str:
    """Weigh the evidence; go on while tasks are open."""
    runs = api.runs()
    tasks = read_tasks(where.tasks_path.read_text(encoding="utf-8"))
    left = [task.id for task in tasks if task.is_open]
    failed = [run for run in runs if run.ended and run.status != "finished"]
    text = [headline(project, runs)]
    text.append(f"{len(failed)} of {len(runs)} runs have no result.")
    text += ["Ablation:", *ablation_lines(project, runs)] if not left else []
    text.append(f"Open: {', '.join(left)}: go on." if left else "Nothing is open: stop.")
    return tags(
        reflection="\n".join(text),
        **{"continue": "yes" if left else "no"},
        memories="\n".join(lessons(project, runs)) or None if not left else None,
        summary=f"Reflected. {headline(project, runs)}",
    )


def lessons(project: ProjectFile, runs: Sequence[RunView]) -> list[str]:
    """What a later session should know, with the numbers."""
    found = groups(runs, project)
    base, best = baseline_group(found, project), best_group(project, runs)
    if base is None or best is None:
        return []
    values = ", ".join(f"{name}={value}" for name, value in best.configuration.items())
    lines = [
        f"- [lesson] {values} reached {project.metric.name} {best.text()}, the baseline "
        f"{base.text()}."
    ]
    lines += [f"- [lesson] Ablation: {line[2:]}" for line in ablation_lines(project, runs)[:4]]
    lines += _failure_lessons(runs)
    return lines


def _failure_lessons(runs: Sequence[RunView]) -> list[str]:
    causes: dict[str, list[str]] = {}
    for run in runs:
        if run.status == "failed":
            causes.setdefault((run.error or "unknown")[:100], []).append(run.name)
    return [f"- [gotcha] {len(names)} runs failed: {cause}" for cause, names in causes.items()]
