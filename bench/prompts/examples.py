"""The examples of `docs/prompts`, each from a recorded session; and how long their parts are."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from bench.prompts.played import played
from bench.prompts.recording import Recording, closing, places, state_before
from wildloop.flows.loop.gates import told_gates
from wildloop.flows.prompt.kind import SKILLS, Kind
from wildloop.flows.prompt.page import page_sections
from wildloop.flows.prompt.sections import (
    PromptContext,
    faults_section,
    last_faults,
    render_prompt,
    struggle_section,
    user_availability,
)
from wildloop.flows.prompt.state import PromptState
from wildloop.flows.prompt.tokens import parts_of, repeated_share, token_count
from wildloop.flows.protocol.plan_bounds import PlanBounds, plan_rules
from wildloop.flows.skills import SkillLibrary, shipped_skills_path
from wildloop.flows.struggle.struggle import History, struggle_signs

FOLDER = Path(__file__).parents[2] / "docs" / "prompts"
RECORDED = Path(__file__).with_name("digits.json")
FREE = ("Goal", "The plan as it stands", "The user says")
LONG = (5, 50, 400)


@cache
def digits() -> Recording:
    """The demo's session, as it was recorded."""
    return Recording.model_validate_json(RECORDED.read_text(encoding="utf-8"))


def prompt_of(state: PromptState, plan: str = "") -> str:
    """The prompt of a state, as the shipped skills make it."""
    library, task = SkillLibrary(shipped_skills_path()), state.task
    tasks = f"{state.spec.workdir}/.wild/sessions/{state.record.session_id}/tasks.md"
    bare = PromptContext(tasks_path=tasks)
    fixed = token_count(render_prompt(library, SKILLS[state.kind], bare))
    told = last_faults(state.record)
    signs = struggle_signs(state.record.iterations, History.of(state.account), told=told)
    gates = [one for one in state.plan.tasks if one.is_gate and state.kind == "reflection"]
    context = PromptContext(
        **page_sections(state, None, fixed),
        task_title=f": do {task.id}" if task is not None and task.id else "",
        plan_rules=plan_rules(PlanBounds.of(state.spec)),
        gate_section=told_gates(gates[:1]),
        faults_section=faults_section(told),
        struggle_section=struggle_section(signs),
        goal=state.spec.goal,
        iteration=state.index,
        max_iterations=state.spec.max_iterations,
        server_url="http://127.0.0.1:10000",
        session_id=state.record.session_id,
        workdir=state.spec.workdir,
        tasks_path=tasks,
        playbook_path=f"{state.spec.workdir}/.wild/sessions/{state.record.session_id}/"
        "prompt_skill_playbook.md",
        plan=plan,
        user_availability=user_availability(480, "balanced"),
    )
    return render_prompt(library, SKILLS[state.kind], context).rstrip()


def _digits(kind: Kind, index: int, turn: int = 1) -> str:
    found = digits()
    place = places(found.calls, kind, index)[turn - 1]
    plan = found.plans.get(found.calls[place - 1].label, "") if place else ""
    return prompt_of(state_before(found, place, kind, index), plan)


def _next(iterations: int) -> PromptState:
    found = played(iterations - 1)
    return state_before(found, len(found.calls), "iteration", iterations)


def _after_failure() -> str:
    """The second call of an iteration, one of whose runs has failed."""
    found = played(50)
    index = next(
        call.index
        for call in found.calls
        if any(run.id in call.run_ids and run.error for run in found.runs)
    )
    place = places(found.calls, "iteration", index)[0]
    calls = [*found.calls[: place + 1]]
    ids = calls[-1].run_ids
    untold = [id for id in calls[-1].told_runs or () if id not in ids]
    calls[-1] = calls[-1].model_copy(update={"told_runs": untold, "promise": "WAITING"})
    recorded = found.model_copy(update={"calls": calls})
    state = state_before(recorded, len(calls), "iteration", index)
    state.record.woken = f"i{index}-s0 has failed (3 of 3 have ended)"
    return prompt_of(state)


def _at_the_end() -> str:
    found = played(50)
    spec = found.spec.model_copy(update={"max_iterations": 51})
    spec.budget.runs = len(found.runs)
    recorded = found.model_copy(update={"spec": spec})
    return prompt_of(state_before(recorded, len(found.calls), "iteration", 51))


def _last_reflection() -> str:
    found = played(50)
    found.spec.budget.runs = len(found.runs)
    state = state_before(found, len(found.calls), "reflection", 50)
    plan = found.plans[found.calls[-1].label]
    return prompt_of(closing(state, "budget: runs 150 of 150 is used up"), plan)


EXAMPLES: dict[str, Callable[[], str]] = {
    "planning": lambda: _digits("planning", 0),
    "iteration-1": lambda: _digits("iteration", 1),
    "iteration-6": lambda: prompt_of(_next(6)),
    "iteration-50": lambda: prompt_of(_next(50)),
    "iteration-400": lambda: prompt_of(_next(400)),
    "after-a-failure": _after_failure,
    "at-the-end": _at_the_end,
    "reflection": lambda: _digits(
        "reflection", digits().calls[places(digits().calls, "reflection")[0]].index
    ),
    "last-reflection": _last_reflection,
}


def example(name: str) -> str:
    """One of the examples."""
    return EXAMPLES[name]()


def sizes() -> str:
    """Tokens by part of an iteration's prompt early and late, as a table."""
    found = {number: parts_of(prompt_of(_next(number))) for number in LONG}
    rows = [f"| part | {' | '.join(map(str, LONG))} |", "| --- |" + " ---: |" * len(LONG)]
    for name in next(iter(found.values())):
        title = name.split(":")[0].split(" (")[0]
        title = "Iteration" if title.startswith("Iteration ") else title
        counts = [_count(parts, title) for parts in found.values()]
        rows.append(f"| {title} | {' | '.join(counts)} |")
    whole = [sum(token_count(t) for n, t in one.items() if n not in FREE) for one in found.values()]
    rows.append(f"| **beside goal, steer and plan** | {' | '.join(map(str, whole))} |")
    shares = [f"{repeated_share(*_two(number)):.0%}" for number in LONG]
    rows.append(f"| repeated from the call before | {' | '.join(shares)} |")
    return "\n".join(rows)


def _count(parts: dict[str, str], title: str) -> str:
    found = [token_count(text) for name, text in parts.items() if name.startswith(title)]
    return str(found[0]) if found else "-"


def _two(number: int) -> tuple[str, str]:
    return prompt_of(_next(number)), prompt_of(_next(number + 1))
