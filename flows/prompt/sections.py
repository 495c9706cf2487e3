"""Prompts: every template variable, and the sections that are built for them."""

import re
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from wildloop.flows.models.alert import Alert, Severity
from wildloop.flows.models.session_options import Budget
from wildloop.flows.models.session_record import SessionRecord
from wildloop.flows.models.wake import Wake
from wildloop.flows.skills import SkillLibrary
from wildloop.flows.text.redaction import redact

SHOWN_ALERTS = 8
WAKE_TEXTS: Mapping[Wake, str] = {
    "all": "when **all** of them have ended or one has failed, with all their values "
    '(`<promise wake="first">`: at the first end; `wake="failed"`: at each failure)',
    "first": "at **each** end of one of them, with all values so far "
    '(`<promise wake="all">`: when all have ended or one has failed)',
    "failed": "when **all** of them have ended and at **each** failure, with all their values "
    '(`<promise wake="first">`: at the first end; `wake="all"`: at failures of a new cause only)',
}
"""When a waiting agent is called, by the session's option: what stands behind WAITING."""
_GAP = re.compile(r"\n{3,}")


class PromptContext(BaseModel):
    """All variables that a skill may use."""

    goal: str = ""
    workdir: str = ""
    iteration: int = 0
    max_iterations: int = 25
    tasks_path: str = ""
    log_path: str = ""
    playbook_path: str = ""
    server_url: str = ""
    session_id: str = ""
    steer_section: str = ""
    struggle_section: str = ""
    faults_section: str = ""
    interrupted_section: str = ""
    api_catalog: str = ""
    auth_header: str = ""
    memories: str = ""
    experiment_results: str = ""
    evidence_section: str = ""
    diversity_section: str = ""
    explore_section: str = ""
    references_section: str = ""
    alerts_section: str = ""
    evo_sweep_section: str = ""
    evo_sweep_enabled: bool = False
    keep_section: str = ""
    decides_section: str = ""
    runs_section: str = ""
    left_section: str = ""
    task_section: str = ""
    task_title: str = ""
    tried_section: str = ""
    known_section: str = ""
    believed_section: str = ""
    gate_section: str = ""
    hooks_section: str = ""
    plan_rules: str = ""
    train_command: str = ""
    wake_text: str = WAKE_TEXTS["all"]
    plan: str = ""
    summary_of_work: str = ""
    user_availability: str = ""
    autonomy_level: str = "balanced"
    cluster_state: str = ""
    budget_section: str = ""


def render_prompt(library: SkillLibrary, skill_id: str, context: PromptContext) -> str:
    """The prompt of a skill, without secrets; where parts are empty no gap is left."""
    return redact(_GAP.sub("\n\n", library.render(skill_id, context.model_dump())))


def steer_section(texts: Sequence[str]) -> str:
    """What the user has said since the last prompt."""
    if not texts:
        return ""
    lines = "\n".join(f"- {text}" for text in texts)
    return f"## The user says (this comes before the plan)\n\n{lines}\n"


def struggle_section(signs: Sequence[str]) -> str:
    """Signs that the work is stuck."""
    if not signs:
        return ""
    lines = "\n".join(f"- {sign}" for sign in signs)
    return (
        "## Signs of struggle\n\n"
        f"{lines}\n\nDo not repeat what has not worked. Say in one sentence what is in the way, "
        "then take a smaller step or another kind of change.\n"
    )


def faults_section(faults: Sequence[str]) -> str:
    """What the last reply got wrong."""
    if not faults:
        return ""
    lines = "\n".join(f"- {fault}" for fault in dict.fromkeys(faults))
    return f"## What was wrong with your last reply\n\n{lines}\n\nMend this first.\n"


def last_faults(record: SessionRecord) -> list[str]:
    """What the last call got wrong, for the next one to hear."""
    if not record.iterations:
        return []
    last = record.iterations[-1]
    told = [*last.faults, *last.troubles]
    if last.failed and last.error:
        told.append(f"The last call ({last.label}) failed: {last.error}")
    return told


def memories_section(lessons: Sequence[str]) -> str:
    """Lessons of earlier sessions."""
    if not lessons:
        return "None yet."
    return "\n".join(f"- {lesson}" for lesson in lessons)


def cluster_state(*, g: int, r: int, q: int, max_new_runs: int, label: str) -> str:
    """The compute and what is free of it."""
    return (
        f"{label}: g={g} slots, r={r} held, q={q} runs queued, max_new_runs={max_new_runs}. "
        f"{max(0, g - r - q)} slots are free beyond the queue."
    )


def user_availability(away_duration_minutes: int, autonomy_level: str) -> str:
    """Whether the user can be asked."""
    if away_duration_minutes > 0:
        return (
            f"The user is away for about {away_duration_minutes} minutes. Do not ask: decide by "
            f"yourself (autonomy: {autonomy_level}) and write down why."
        )
    return f"The user may steer at any time (autonomy: {autonomy_level}), but never wait for it."


def budget_section(
    budget: Budget,
    *,
    hours_used: float = 0.0,
    cost_used: float = 0.0,
    gpu_hours_used: float = 0.0,
    runs_used: float = 0,
) -> str:
    """What is left to spend."""
    rows = [
        ("hours", budget.hours, hours_used, "{:.2f}"),
        ("US dollars", budget.cost_usd, cost_used, "{:.2f}"),
        ("slot-hours", budget.gpu_hours, gpu_hours_used, "{:.2f}"),
        ("runs", budget.runs, runs_used, "{:.0f}"),
    ]
    lines = [
        f"- {name}: {form.format(used)} used"
        + (f" of {bound:g}" if bound is not None else ", no bound")
        for name, bound, used, form in rows
    ]
    return "\n".join(lines)


def alerts_section(
    alerts: Sequence[Alert], names: Mapping[str, str], autonomy_level: str, server_url: str
) -> str:
    """The open alerts of the session's runs, critical ones first.

    Args:
        alerts: open alerts.
        names: names of the runs, by id.
        autonomy_level: with `full` the agent is told how to answer them, else that they are there.
        server_url: where the skill and the answers are.
    """
    if not alerts:
        return ""
    order = list(reversed(Severity))
    first = sorted(alerts, key=lambda alert: (order.index(alert.severity), alert.created_at))
    if autonomy_level != "full":
        runs = ", ".join(dict.fromkeys(names.get(one.run_id, one.run_id) for one in first[:5]))
        return (
            f"## Alerts\n\n{len(first)} open (runs {runs}): see `GET /alerts?status=open`. "
            "Answer those that stand in the way of your task; leave to the user what costs more "
            "than a run.\n"
        )
    lines = [
        f"- {one.severity.value} {one.kind.value} of run {names.get(one.run_id, '?')} "
        f"({one.run_id}): {' '.join(one.message.split())[:300]} Choices: {', '.join(one.choices)}. "
        f'`POST {server_url}/alerts/{one.id}/respond` with `{{"choice": "..."}}`'
        for one in first[:SHOWN_ALERTS]
    ]
    if len(first) > SHOWN_ALERTS:
        lines.append(f"- and {len(first) - SHOWN_ALERTS} more: `GET /alerts?status=open`")
    return (
        "## Open alerts: answer them before your task\n\n"
        + "\n".join(lines)
        + "\n\nYou decide by yourself. How: "
        f"`curl -sf {server_url}/prompt-skills/alert_handler`.\n"
    )
