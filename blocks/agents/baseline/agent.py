"""One call of the agent: find out where the session stands, do the next thing, answer in tags."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from wildloop.blocks.agents.baseline import evolution, writing
from wildloop.blocks.agents.baseline.analysis import (
    LASTING,
    failures,
    groups,
    result_of,
    shown_configurations,
)
from wildloop.blocks.agents.baseline.api import Api, ApiError, EvidenceView, RunView
from wildloop.blocks.agents.baseline.check import check_faults, check_text
from wildloop.blocks.agents.baseline.config import (
    ConfigError,
    ProjectFile,
    Surroundings,
    read_project,
    read_surroundings,
)
from wildloop.blocks.agents.baseline.ledger import Ledger, read_ledger, write_ledger
from wildloop.blocks.agents.baseline.plan import abort_markdown, plan_markdown, playbook_markdown
from wildloop.blocks.agents.baseline.reply import tags
from wildloop.blocks.agents.baseline.search import key_of
from wildloop.blocks.agents.baseline.shares import search_budget, shares
from wildloop.blocks.agents.baseline.stages import (
    STAGES,
    Sights,
    create_missing,
    next_batch,
    runs_of,
)
from wildloop.blocks.agents.baseline.tasks import (
    TaskLine,
    current_task,
    goal_section,
    mark,
    read_tasks,
    write_whole,
)

PROBES = (
    "/health",
    "/prompt-skills/wild_v2_execution_ops_protocol",
    "/wild/v2/system-health",
    "/cluster",
)
CHECK, MIDPOINT, ANALYSIS, VERDICT = "P1-T1", "P2-T2", "P5-T1", "P5-T2"
WARM = (
    "Begun with what earlier sessions had found best of the same code: the first {number} of these "
    "runs repeat it."
)
STEER_HEADING = "## The user says"
STEER_NOTE = (
    " The user's words cannot be followed by an agent without an LLM: edit tasks.md or "
    "wildloop.toml instead."
)


def main(arguments: Sequence[str]) -> int:
    """Read the prompt, act, print the reply; return the exit code."""
    if list(arguments) == ["--check"]:
        return check()
    if arguments:
        sys.stderr.write("usage: python -m wildloop.blocks.agents.baseline [--check] < prompt\n")
        return 2
    prompt = sys.stdin.read()
    try:
        where = read_surroundings()
        project = read_project(where.project).bounded(prompt)
        reply = act(Api(where.server_url, where.token, where.session_id), project, where, prompt)
    except (ConfigError, ApiError) as error:
        sys.stdout.write(tags({"summary": f"Stopped by a fault: {error}"}))
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return 1
    sys.stdout.write(tags(reply))
    return 0


def check() -> int:
    """`--check`: say in one line whether the agent's libraries are there."""
    try:
        import httpx
    except ImportError as error:
        sys.stderr.write(f"the baseline agent cannot run: {error}\n")
        return 1
    sys.stdout.write(f"baseline agent: httpx {httpx.__version__}\n")
    return 0


def act(api: Api, project: ProjectFile, where: Surroundings, prompt: str) -> dict[str, str | None]:
    """The reply to one call."""
    if where.phase == "planning":
        return plan(api, project, where, prompt)
    try:
        text = where.tasks_path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no plan at {where.tasks_path}: planning comes first"
        ) from error
    if where.phase == "reflection":
        return reflect(api, project, where, text)
    reply = iterate(api, project, where, text, evolution.is_enabled(prompt))
    if STEER_HEADING in prompt:
        reply["summary"] = f"{reply['summary']}{STEER_NOTE}"
    return reply


def plan(api: Api, project: ProjectFile, where: Surroundings, prompt: str) -> dict[str, str | None]:
    """Probe the API, then write plan and playbook."""
    fallback = goal_section(prompt) or f"Improve {project.metric.name}"
    for path in PROBES:
        try:
            api.probe(path)
        except ApiError as error:
            write_whole(where.tasks_path, abort_markdown(fallback, [str(error)]))
            return {"summary": f"Preflight failed, nothing was spent: {error}", "promise": "DONE"}
    text = plan_markdown(api.goal(), project, where)
    write_whole(where.tasks_path, text)
    write_whole(where.session_dir / "prompt_skill_playbook.md", playbook_markdown(project))
    space = ", ".join(project.search) or "nothing: wildloop.toml declares no [search.NAME]"
    summary = (
        f"Planned {len(read_tasks(text))} tasks for {project.metric.name} "
        f"({project.metric.direction}), {project.budget.runs} runs in all, over {space}."
    )
    return {"summary": summary, "plan": text}


def iterate(
    api: Api, project: ProjectFile, where: Surroundings, plan_text: str, has_evolution: bool
) -> dict[str, str | None]:
    """Carry out the current task."""
    tasks = read_tasks(plan_text)
    task = current_task(tasks)
    if task is None:
        return {"summary": "Every task is closed.", "promise": "DONE"}
    if task.id in STAGES:
        said = run_stage(api, project, where, task, has_evolution)
    elif task.id in (CHECK, MIDPOINT, ANALYSIS, VERDICT):
        said = write_up(api, project, where, task)
    else:
        mark(where.tasks_path, task.id, "-")
        said = Said(f"cancelled: this agent has no LLM and cannot do '{task.text[:200]}'.")
    last = said.ended or sum(one.is_open for one in tasks) == 1
    promise = "WAITING" if said.waiting else "DONE" if last else None
    summary = f"{task.id}: {said.text}"
    return {"summary": summary, "evo_sweep": said.evo_sweep, "promise": promise}


class Said(NamedTuple):
    """What came of a task: a sentence, whether runs are waited for, a sweep that is asked for.

    `ended`: no task after it makes sense.
    """

    text: str
    waiting: bool = False
    evo_sweep: str | None = None
    ended: bool = False


def run_stage(
    api: Api, project: ProjectFile, where: Surroundings, task: TaskLine, has_evolution: bool
) -> Said:
    """Create a stage's next runs, wait for them, or close the task when all have ended."""
    stage, ledger, runs = STAGES[task.id], read_ledger(where, STAGES[task.id].prefix), api.runs()
    if not project.search and stage.kind != "baseline":
        mark(where.tasks_path, task.id, "-")
        return Said("cancelled: wildloop.toml declares no [search.NAME] that could vary.")
    # A sweep gives its parameters as flags.
    breeds = has_evolution and project.train.style == "flags"
    if stage.kind == "evolve" and (breeds or ledger.asked):
        return evolve(api, project, where, task, ledger, runs)
    sights = sights_of(api, project, where, stage.kind, runs)
    mine = runs_of(ledger, runs)
    if not ledger.complete and len(mine) == len(ledger.trials) and all(run.ended for run in mine):
        ledger = next_batch(task.id, ledger, sights)
        write_ledger(where, stage.prefix, ledger)
        mine = runs_of(ledger, runs)
    made, dropped = create_missing(api, task.id, ledger, sights, where)
    cut = f" {dropped} were left out: the budget is {project.budget.runs} runs." if dropped else ""
    active = [run for run in mine if not run.ended]
    if made or active:
        mark(where.tasks_path, task.id, "/")
        total = len(ledger.trials)
        queued = f"{len(made)} of {total} runs queued now ({stage.prefix})."
        return Said(
            f"{queued}{cut}" if made else f"{len(active)} of {total} runs have not ended.",
            waiting=True,
        )
    return close_stage(api, project, where, task, ledger, runs, cut)


def sights_of(
    api: Api, project: ProjectFile, where: Surroundings, kind: str, runs: Sequence[RunView]
) -> Sights:
    """What a stage decides upon; the account is asked only where its verdicts count."""
    found = Sights(
        project=project, runs=list(runs), session_id=where.session_id, slots=api.cluster().slots
    )
    if kind == "broad":
        found.earlier = api.earlier_runs()
    if kind in ("race", "ablate"):
        evidence = api.evidence()
        lasting = shown_configurations(project, runs, evidence, LASTING)
        found.shown = [key_of(one) for one in lasting]
        if kind == "ablate":
            from wildloop.blocks.agents.baseline.recommend import recommend

            chosen = recommend(project, runs, evidence)
            found.best = None if chosen.is_baseline else chosen.configuration
    return found


def evolve(
    api: Api,
    project: ProjectFile,
    where: Surroundings,
    task: TaskLine,
    ledger: Ledger,
    runs: Sequence[RunView],
) -> Said:
    """Ask for the stage's evolutionary sweep, wait for it, or close the task when it has ended."""
    stage = STAGES[task.id]
    share = shares(project)
    count = min(share.evolved, search_budget(project) - share.race - len(runs))
    sweep = api.evo_sweep(stage.prefix) if ledger.asked else None
    if sweep is not None and sweep.ended:
        if not ledger.complete:
            ledger = evolution.told(ledger, sweep, runs)
            write_ledger(where, stage.prefix, ledger)
        return close_stage(api, project, where, task, ledger, runs, "")
    if sweep is not None:
        return Said(f"the sweep {stage.prefix} goes on.", waiting=True)
    if not groups(runs, project) or count < 1:
        return close_stage(api, project, where, task, ledger, runs, "")
    if ledger.asked >= evolution.ASKS:
        mark(where.tasks_path, task.id, "-")
        return Said(f"cancelled: the sweep {stage.prefix} was asked for and not begun.")
    write_ledger(where, stage.prefix, ledger.model_copy(update={"asked": ledger.asked + 1}))
    mark(where.tasks_path, task.id, "/")
    block = evolution.sweep_block(stage.prefix, count, project, runs)
    return Said(f"asked for {count} trials ({stage.prefix}).", waiting=True, evo_sweep=block)


def close_stage(
    api: Api,
    project: ProjectFile,
    where: Surroundings,
    task: TaskLine,
    ledger: Ledger,
    runs: Sequence[RunView],
    cut: str,
) -> Said:
    """All runs of a stage have ended: write what they say."""
    stage, mine = STAGES[task.id], runs_of(ledger, runs)
    if not mine:
        mark(where.tasks_path, task.id, "-")
        return Said(f"cancelled: {why_nothing(stage.kind, project, runs)}.{cut}")
    if stage.kind == "baseline" and not any(result_of(run, project) is not None for run in mine):
        return stop_blind(project, where, task, mine)
    evidence = api.evidence()
    text = writing.stage_text(stage.goal, mine, evidence, project)
    if stage.kind == "ablate":
        text += "\n\n## Effects\n\n" + "\n".join(writing.ablation_lines(evidence))
    if ledger.known:
        text += "\n\n" + WARM.format(number=ledger.known)
    deliver(where, task, text)
    mark(where.tasks_path, task.id, "x")
    failed = sum(map(len, failures(mine, project).values()))
    return Said(
        f"{len(mine) - failed} runs with a result"
        + (f", {failed} without ({'; '.join(failures(mine, project))})" if failed else "")
        + f". {writing.headline(evidence)}{cut}"
    )


def why_nothing(kind: str, project: ProjectFile, runs: Sequence[RunView]) -> str:
    """Why a stage has no runs."""
    if not groups(runs, project):
        return "there is no result to build upon"
    if len(runs) >= project.budget.runs:
        return f"the budget is {project.budget.runs} runs, and they are spent"
    if kind in ("near", "evolve"):
        return "the runs that are left are those that the race will need"
    return "there is nothing better than the baseline to build upon"


def stop_blind(
    project: ProjectFile, where: Surroundings, task: TaskLine, mine: Sequence[RunView]
) -> Said:
    """The baseline has no value: a search could show nothing, so all that is open is cancelled."""
    reasons = [run.unmeasured for run in mine if run.unmeasured]
    why = reasons[0] if reasons else "; ".join(failures(mine, project))
    text = f"The baseline has no value of {project.metric.name}, so nothing is searched: {why}"
    deliver(where, task, f"# {task.text}\n\n{text}")
    for one in read_tasks(where.tasks_path.read_text(encoding="utf-8")):
        if one.is_open:
            mark(where.tasks_path, one.id, "-")
    return Said(text, ended=True)


def write_up(api: Api, project: ProjectFile, where: Surroundings, task: TaskLine) -> Said:
    """A task that creates no runs."""
    if task.id == CHECK:
        faults = check_faults(project, where.project)
        text = check_text(project, where.project, api.cluster())
        sentence = f"{len(faults)} faults: {'; '.join(faults)}" if faults else "no fault found."
    else:
        from wildloop.blocks.agents.baseline.recommend import FILE, recommend

        runs, evidence = api.runs(), api.evidence()
        sentence = writing.headline(evidence)
        if task.id == MIDPOINT:
            text = writing.midpoint_text(task.text, runs, evidence, project)
        elif task.id == ANALYSIS:
            text = writing.final_text(task.text, runs, evidence, project)
            text += f"\n\n{recommend(project, runs, evidence).text}"
            write_whole(
                deliverable(where, task).with_name("runs.csv"), writing.runs_csv(runs, project)
            )
        else:
            verdict, chosen = writing.goal_verdict(evidence), recommend(project, runs, evidence)
            text = f"# {task.text}\n\n{chosen.text}\n\n{verdict}\n\n{sentence}"
            sentence = f"{chosen.text} {verdict} {sentence}"
            write_whole(where.experiments / FILE, chosen.model_dump_json(indent=2) + "\n")
    deliver(where, task, text)
    mark(where.tasks_path, task.id, "x")
    return Said(sentence)


def deliverable(where: Surroundings, task: TaskLine) -> Path:
    """The task's file; a path that leaves the project is not followed."""
    if task.deliverable:
        path = (where.project / task.deliverable).resolve()
        if path.is_relative_to(where.project.resolve()):
            return path
    return where.experiments / f"{task.id}.md"


def deliver(where: Surroundings, task: TaskLine, text: str) -> None:
    """Write the task's deliverable."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    foot = f"_{task.id}, iteration {where.iteration}, {stamp}_"
    write_whole(deliverable(where, task), f"{text.rstrip()}\n\n{foot}\n")


def reflect(
    api: Api, project: ProjectFile, where: Surroundings, plan_text: str
) -> dict[str, str | None]:
    """Weigh the evidence; go on while tasks are open and something can come of them."""
    runs, evidence = api.runs(), api.evidence()
    left = [task.id for task in read_tasks(plan_text) if task.is_open]
    hopeless = bool(runs) and all(run.ended for run in runs) and not groups(runs, project)
    lines = [writing.headline(evidence)]
    lines.append("Without a result:\n" + writing.failures_text(runs, project))
    going_on = bool(left) and not hopeless
    if going_on:
        lines.append(f"Open: {', '.join(left)}. The search goes on.")
    else:
        lines.append("Ablation:\n" + "\n".join(writing.ablation_lines(evidence)))
        lines.append(writing.goal_verdict(evidence))
        lines.append(
            "No run has a result: going on would repeat the fault. Stop."
            if left
            else "Nothing is open: stop."
        )
    return {
        "reflection": "\n\n".join(lines),
        "continue": "yes" if going_on else "no",
        "memories": None if going_on else _lessons(runs, evidence, project),
        "summary": f"Reflected. {writing.headline(evidence)}",
    }


def _lessons(runs: Sequence[RunView], evidence: EvidenceView, project: ProjectFile) -> str | None:
    return "\n".join(writing.lessons(runs, evidence, project)) or None
